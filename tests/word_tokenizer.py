"""A tokenizer of whole words, made on the spot, and texts that it reads."""

import random

WORDS = "good bad film plot actor scene music long short and the a was very".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = {word: place for place, word in enumerate([*SPECIAL, *WORDS])}
    inner = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad", "unk", "cls", "sep", "mask")
    given = {f"{name}_token": word for name, word in zip(names, SPECIAL, strict=True)}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **given)


def reviews(count):
    """Texts of 2 to 11 words, and whether ``good`` or ``bad`` is among them."""
    draw = random.Random(0)
    found = []
    for place in range(count):
        words = draw.choices(WORDS[2:], k=draw.randint(1, 10))
        label = ("praise", "blame")[place % 2]
        words.insert(draw.randrange(len(words) + 1), "good" if label == "praise" else "bad")
        found.append((" ".join(words), label))
    return found
