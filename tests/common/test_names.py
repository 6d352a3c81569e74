"""Names that are accepted, and how those that are not are shown."""

import pytest

from utils.common.errors import UserError
from utils.common.names import is_text, require_text, shown


@pytest.mark.parametrize("name", ["NV", "黑色素瘤", "Nevus (benign)", "a|b", "$x^2$", "=1+1", ""])
def test_visible_text_of_any_script_is_a_name(name):
    assert is_text(name) and shown(name) == name
    require_text(name, "data/x", "rename it")


@pytest.mark.parametrize("name, escaped", [
    ("a\nb", "a\\nb"), ("\x1b[31mred", "\\x1b[31mred"), ("L\udce4sion", "L\\udce4sion"),
    ("a\u2028b", "a\\u2028b"), ("\x7f", "\\x7f")])
def test_what_is_no_text_is_refused_and_shown_as_an_escape(name, escaped):
    with pytest.raises(UserError, match="^data/x: the name '.*' is not UTF-8 .*; rename it$") as e:
        require_text(name, "data/x", "rename it")
    assert escaped in str(e.value) and is_text(str(e.value))
