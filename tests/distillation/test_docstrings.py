from collections import Counter
from pathlib import Path

import pytest

from distillation.docstrings import MASK, docstrings_of, first_paragraph, harvest, masker
from distillation.errors import DataError


def package(root: Path, name: str, docstrings: list[str], file: str = "part.py") -> None:
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    functions = (f'def f{index}():\n    """{text}"""\n' for index, text in enumerate(docstrings))
    (folder / file).write_text("\n".join(functions))


def texts(name: str, count: int) -> list[str]:
    # Backwards too, because the name itself is masked and equal texts are nobody's.
    return [f"Do the thing of {name} or {name[::-1]} that has the number {index}." for index in range(count)]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


NAMES = {"stillalpha": ("stillalpha",), "stillbeta": ("stillbeta",), "stillgamma": ("stillgamma",)}


def test_names_are_masked_whatever_their_case_and_around_them():
    mask = masker(("pytorch", "torch"))
    assert mask("PyTorch, torch.nn and TorchScript") == f"{MASK}, {MASK}.nn and {MASK}Script"


def test_short_names_are_masked_only_where_no_letter_touches_them():
    mask = masker(("ax",))
    assert mask("Ax takes the max of ax_1, ax.") == f"{MASK} takes the max of {MASK}_1, {MASK}."


def test_first_paragraph_ends_at_an_empty_line_and_is_one_line():
    assert first_paragraph("\n    One\n    two   three.\n    \n    Four.\n    ") == "One two three."
    assert first_paragraph(">>> f(1)\n2") == ""
    assert first_paragraph(".. deprecated:: 1.0") == ""


def test_docstrings_are_found_wherever_definitions_are():
    source = '''"""Module."""
class A:
    """Class."""
    async def f(self):
        """Method."""
        if True:
            def g():
                """Nested."""
try:
    pass
except ValueError:
    def h():
        """Handler."""
x = """No docstring."""
def i():
    return 1
'''
    assert list(docstrings_of(source)) == ["Module.", "Class.", "Method.", "Nested.", "Handler."]


def test_packages_are_parsed_and_never_imported(installed):
    for name in NAMES:
        package(installed, name, texts(name, 5))
    found = harvest(NAMES)
    assert Counter(name for _, name in found.texts) == dict.fromkeys(NAMES, 5)
    assert all(MASK in text and name not in text for text, name in found.texts)


def test_texts_of_two_packages_are_nobodys_and_repeated_ones_count_once(installed):
    shared = "This sentence is in the sources of two packages."
    own = "This sentence stands twice in one package alone."
    package(installed, "stillalpha", [shared, own, own])
    package(installed, "stillbeta", [shared, *texts("x", 2)])
    package(installed, "stillgamma", texts("y", 2))
    found = harvest(NAMES)
    assert [text for text, name in found.texts if name == "stillalpha"] == [own]
    assert Counter(name for _, name in found.texts) == {"stillalpha": 1, "stillbeta": 2, "stillgamma": 2}


def test_too_short_and_too_long_texts_are_left_out(installed):
    for name in NAMES:
        package(installed, name, ["Short.", "Long " * 100, *texts(name, 1)])
    assert len(harvest(NAMES).texts) == 3


def test_classes_are_cut_to_the_same_size_and_every_time_to_the_same_texts(installed):
    for name in NAMES:
        package(installed, name, texts(name, 50))
    found = harvest(NAMES, most_per_class=20)
    assert Counter(name for _, name in found.texts) == dict.fromkeys(NAMES, 20)
    assert found == harvest(NAMES, most_per_class=20)


def test_files_that_are_not_python_are_passed_over(installed):
    for name in NAMES:
        package(installed, name, texts(name, 2))
        (installed / name / "template.py").write_text("{{ this }} is no ( Python")
        (installed / name / "bytes.py").write_bytes(b"\xff\xfe\x00")
    assert len(harvest(NAMES).texts) == 6


def test_missing_packages_are_left_out_and_named(installed):
    for name in NAMES:
        package(installed, name, texts(name, 2))
    found = harvest({**NAMES, "stillabsent": ("stillabsent",)})
    assert found.missing == ("stillabsent",)
    assert len(found.texts) == 6


def test_fewer_than_three_packages_are_an_error_that_names_the_missing(installed):
    package(installed, "stillalpha", texts("a", 2))
    with pytest.raises(DataError, match=r"task\.dataset: docstrings needs at least 3.*are stillbeta, stillgamma"):
        harvest(NAMES)


def test_real_packages_give_readable_texts_without_their_names():
    names = {"numpy": ("numpy", "np"), "networkx": ("networkx", "nx"), "sympy": ("sympy",)}
    found = harvest(names, most_per_class=30)
    assert Counter(name for _, name in found.texts) == dict.fromkeys(names, 30)
    assert not any("numpy" in text.lower() for text, name in found.texts if name == "numpy")
