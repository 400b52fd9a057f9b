"""Published paths: the layouts that are taken, those that are refused, and what generated names become."""

from time import thread_time
from unicodedata import category, normalize

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from onward.protocol.model import UploadId
from onward.protocol.naming import Layout, PathValues, parse_layout, safe_name, split_extension, with_suffix

MANY = settings(max_examples=2000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
ID = UploadId("0123456789abcdef" * 2)
SHA256 = bytes(range(32))
NOON = 1_795_780_800.0  # 2026-11-27T12:00:00Z

HOSTILE = st.sampled_from(
    (
        "..", "/", "\\", ".", "...", "~", " ", "\t", "\n", "\r", "\x00", "\x7f", "\x85", "\u2028", "\u202e", "\u200b",
        "\u2066", "\ufeff", "\u2215", "\uff0e", "\u3000", "\ud800", "\udcff", "e\u0301", "\u0301", "\u212b", "\u1100\u1161",
        "\U0001f468\u200d\U0001f469", "\U0001d11e", "ö" * 120, "𝄞" * 60, "a" * 230, ".tar.gz", ".pdf", ".TAR.bz2",
        ".ааааааааааааааааа", ".𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞", "C:", "con", "-rf", "_", "%2f", "{id}", ".htaccess", "file",
    )
)  # fmt: skip
NAMES = st.none() | st.lists(HOSTILE | st.text(max_size=40), max_size=8).map("".join) | st.text(max_size=300)
LAYOUTS = [
    parse_layout(text)
    for text in (
        "{name}", "{id}", "{owner}/{date:%Y/%m/%d}/{name}", "{sha256:2}/{sha256}.{ext}", "{ext}/{name}", "{name}-{sha256}",
        "{sha256}{id}{name}", "{owner}-{name}-{owner}{ext}/{id}", "in {name}/ö/{owner}.{ext}", "{name}{owner}{name}{ext}",
    )
]  # fmt: skip


def path(layout: str, *, file_name: str | None = None, owner: str | None = None) -> str:
    return parse_layout(layout).path(PathValues(id=ID, sha256=SHA256, file_name=file_name, owner=owner), NOON)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("{id}", ID),
        ("{date:%Y/%m/%d}/{id}", f"2026/11/27/{ID}"),
        ("{date:%H%M%S-%j-%y-%G-%V-%u}-{id}", f"120000-331-26-2026-48-5-{ID}"),
        ("{sha256:2}/{sha256}", f"00/{SHA256.hex()}"),
        ("{sha256:64}", SHA256.hex()),
        ("in/{owner}/{name}", "in/ann/Röntgen.tar.gz"),
        ("{id}.{ext}", f"{ID}.tar.gz"),
        ("{ext} of {name}", "tar.gz of Röntgen.tar.gz"),
        ("o\u0308/{id}", f"ö/{ID}"),
    ],
)
def test_a_layout_is_filled_in(layout: str, expected: str) -> None:
    assert path(layout, file_name="Ro\u0308ntgen.tar.gz", owner="ann") == expected


def test_a_value_that_is_missing_becomes_an_underscore() -> None:
    assert path("{owner}/{name}.{ext}") == "_/_._"
    assert path("{owner}/{name}.{ext}", file_name="README", owner="") == "_/README._"


@pytest.mark.parametrize(
    ("layout", "why"),
    [
        ("", "empty segment"), ("/{id}", "relative path"), ("{id}/", "slash at its end"), ("a//{id}", "empty segment"),
        (" /{id}", "empty segment"), ("{date:/%Y}/{id}", "empty segment"),
        ("../{id}", "begin with a dot"), ("./{id}", "begin with a dot"), (".{id}", "begin with a dot"),
        ("a/.b/{id}", "begin with a dot"), ("{date:%Y/.%m}/{id}", "begin with a dot"),
        ("a", "it needs {id}, {sha256} or {name}"), ("{owner}/{date:%Y}.{ext}", "it needs {id}, {sha256} or {name}"),
        ("{sha256:63}", "it needs {id}, {sha256} or {name}"),
        ("{id", "brace"), ("id}/{id}", "brace"), ("a\\b/{id}", "backslash"), ("a\n/{id}", "can't be seen"),
        ("\u202e{id}", "can't be seen"), ("\udcff{id}", "can't be seen"),
        ("{uuid}/{id}", "{uuid} is unknown; there are {id}"), ("{id:2}", "{id:2} is unknown"), ("{}", "{} is unknown"),
        ("{date}/{id}", "{date} is unknown"), ("{name:}", "{name:} is unknown"), ("{sha256:0}", "{sha256:0} is unknown"),
        ("{sha256:65}", "{sha256:65} is unknown"), ("{sha256:٣}", "is unknown"),
        ("{date:%A}/{id}", "a date can be made of %Y"), ("{date:%Y%}/{id}", "a date can be made of %Y"),
        ("{date:%%}/{id}", "a date can be made of %Y"),
        ("a" * 256 + "/{id}", "too little room"), ("a" * 224 + "{name}", "too little room"), ("{name}" * 8, "too little room"),
        ("/".join(["{name}"] * 5), "may have 1005 bytes, and 900 is the most"),
    ],
)  # fmt: skip
def test_a_layout_that_could_go_wrong_is_refused(layout: str, why: str) -> None:
    with pytest.raises(ValueError, match="is not a layout: ") as refusal:
        parse_layout(layout)
    assert why in str(refusal.value)
    assert repr(layout) in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (None, "_"), ("", "_"), (".", "_"), ("..", "_"), (" \t", "_"), ("\u202e\x00", "_"),
        ("../../etc/passwd", "_.._etc_passwd"), ("C:\\new\\plan.pdf", "C:_new_plan.pdf"), ("..\\x", "_x"),
        (".htaccess", "htaccess"), (" . .bashrc ", "bashrc"), ("\u200b.profile", "profile"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"), ("a\r\nb\u2028c", "abc"), ("e\u200d\u0301", "é"), ("\udcffx", "x"),
        ("a" * 300 + ".pdf", "a" * 196 + ".pdf"), ("ö" * 300 + ".tar.gz", "ö" * 96 + ".tar.gz"),
        ("𝄞" * 60, "𝄞" * 50), ("a" * 199 + "ö", "a" * 199), ("a. " * 100 + ".pdf", ("a. " * 100)[:196].rstrip() + ".pdf"),
        ("a" * 190 + "." + "b" * 30, "a" * 190 + "." + "b" * 9),
    ],
)  # fmt: skip
def test_a_name_is_made_safe(name: str | None, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.pdf", ".pdf"), ("a.tar.gz", ".tar.gz"), ("a.TAR.Zst", ".TAR.Zst"), ("a.b.c", ".c"), ("tar.gz", ".gz"),
        ("a", ""), ("a.", ""), (".pdf", ""), ("v1.2 final report", ""), ("a." + "b" * 17, ""), ("a." + "𝄞" * 7, ""),
        ("a." + "ö" * 13, "." + "ö" * 13),
    ],
)  # fmt: skip
def test_an_extension_is_found(name: str, extension: str) -> None:
    assert split_extension(name) == (name.removesuffix(extension), extension)


@pytest.mark.parametrize(
    ("taken", "other"),
    [
        ("a.pdf", "a-01234567.pdf"), ("in.2026/a", "in.2026/a-01234567"), ("x/a.tar.gz", "x/a-01234567.tar.gz"),
        ("a" * 251 + ".pdf", "a" * 242 + "-01234567.pdf"), ("ö" * 127, "ö" * 123 + "-01234567"),
    ],
)  # fmt: skip
def test_a_suffix_is_put_before_the_extension(taken: str, other: str) -> None:
    assert with_suffix(taken, ID) == other


def test_a_long_run_of_spaces_costs_no_time() -> None:
    start = thread_time()
    assert safe_name("a" + " " * 100_000 + "b") == "a"
    assert safe_name("." * 100_000 + "b") == "b"
    assert len(safe_name(".a" * 100_000)) == 200
    assert thread_time() - start < 1


def test_a_suffix_can_have_all_digits() -> None:
    assert with_suffix("x/a.pdf", ID, len(ID)) == f"x/a-{ID}.pdf"


@pytest.mark.slow
@MANY
@given(layout=st.sampled_from(LAYOUTS), name=NAMES, owner=NAMES, now=st.floats(0, 253402300799))
@example(layout=LAYOUTS[0], name="𝄞" * 80 + ".ааааааааааааа", owner=None, now=0.0)
@example(layout=LAYOUTS[0], name=".." * 150 + "/..", owner="..", now=0.0)
def test_a_generated_name_gives_a_path_inside_the_folder(
    layout: Layout, name: str | None, owner: str | None, now: float
) -> None:
    values = PathValues(id=ID, sha256=SHA256, file_name=name, owner=owner)
    made = layout.path(values, now)
    for shape in (made, with_suffix(made, ID), with_suffix(made, ID, len(ID))):
        for segment in shape.split("/"):
            assert segment.strip()
            assert not segment.startswith(".")
            assert len(segment.encode()) <= 255
            assert not {category(letter) for letter in segment} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
            assert "\\" not in segment
        assert len(shape.encode()) <= 1000
    assert len({made, with_suffix(made, ID), with_suffix(made, ID, len(ID))}) == 3


@pytest.mark.slow
@MANY
@given(name=NAMES, most=st.integers(32, 200))
def test_a_generated_name_is_made_safe(name: str | None, most: int) -> None:
    safe = safe_name(name, most)
    assert 0 < len(safe.encode()) <= most
    assert normalize("NFC", safe) == safe
    assert safe_name(safe, most) == safe
