import io
import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoprune.foundation.plain import Plain, one_line, plain, plain_json

EVIL = "a\x1b[2Jb\x07\x9bc\u202ed"


def test_control_characters_are_written_as_escapes():
    assert plain(EVIL) == "a\\x1b[2Jb\\x07\\x9bc\\u202ed"
    assert plain("größe\t1\n") == "größe\t1\n"
    assert one_line("a\n  b\x1b") == "a b\\x1b"


def test_json_keeps_its_value():
    text = json.dumps({"a": EVIL + "ü"}, ensure_ascii=False)
    assert json.loads(plain_json(text)) == json.loads(text)
    assert "\x9b" not in plain_json(text)


def test_tables_keep_their_styles_and_lose_what_a_terminal_obeys():
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(Text(EVIL, style="bold"))
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=60, markup=False).print(Plain(table))
    shown = stream.getvalue()
    assert "\x1b[1m" in shown
    assert "\x1b[2J" not in shown
    assert not {"\x9b", "\x07", "\u202e"} & set(shown)
