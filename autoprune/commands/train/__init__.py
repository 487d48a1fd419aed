"""``autoprune train``: train or fine-tune a network (also ``autoprune finetune``)."""
