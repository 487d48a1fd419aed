"""Data sets by their name on the hub."""

import pytest

from autoprune.data import load_data
from autoprune.errors import UsageError

pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "value"), [("HF_HUB_OFFLINE", True), ("ENDPOINT", "http://127.0.0.1:9")]
)
def test_a_hub_name_without_network_is_one_line_after_one_try(name, value, monkeypatch, caplog):
    monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    with pytest.raises(UsageError, match="cannot load nobody/nothing: the hub is out of reach"):
        load_data("nobody/nothing")
    assert "Retrying" not in caplog.text
