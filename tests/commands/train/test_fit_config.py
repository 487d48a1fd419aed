from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train.fit_config import fit_config
from autoprune.networks.zoo import build
from autoprune.training.recipes import recipe, softened


def test_recipes_follow_what_a_network_is_made_of():
    normed, plain = build("resnet20"), build("lenet-300-100")
    assert recipe(normed, 50_000).optimizer == "sgd"
    assert recipe(plain, 50_000).optimizer == "adamw"
    assert recipe(build("ocrnet"), 50_000).optimizer == "adamw"
    assert recipe(normed, 1_000).batch_size < recipe(normed, 50_000).batch_size
    asked = fit_config(TrainConfig(epochs=3, learning_rate=0.5, seed=7), normed, 50_000)
    assert (asked.epochs, asked.learning_rate, asked.seed, asked.optimizer) == (3, 0.5, 7, "sgd")
    turned = fit_config(TrainConfig(optimizer="adamw"), normed, 50_000)
    assert turned.learning_rate < 0.01, "a rate of SGD would wreck AdamW"
    gentle = fit_config(FinetuneConfig(run="x"), normed, 50_000)
    assert gentle == softened(normed, 50_000), "finetune does what a search does at its end"
    assert gentle.learning_rate < recipe(normed, 50_000).learning_rate and gentle.distill > 0
