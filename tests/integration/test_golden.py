"""Every golden case (tests/vectors/golden.md) has a vector of its number or a test."""
import pathlib
import re

TESTS = pathlib.Path(__file__).resolve().parents[1]
VECTORS = TESTS / "vectors"
CASES = 96


def rows():
    found = {}
    for line in (VECTORS / "golden.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"\d\d", cells[0]):
            assert cells[0] not in found, "case %s stands twice" % cells[0]
            found[cells[0]] = cells[3].split()
    return found


def vectors():
    """{number: its vectors} in all directories."""
    found = {}
    for path in VECTORS.glob("*/[0-9][0-9]_*"):
        found.setdefault(path.name[:2], []).append(path)
    return found


def exists(name):
    """A vector, or a test in one of the two languages."""
    if "::" not in name:
        return (VECTORS / name).exists()
    file, _, test = name.partition("::")
    if file.endswith(".py"):
        text = (TESTS / "integration" / file).read_text()
        return re.search(r"^ *def %s\(" % re.escape(test), text, re.M)
    text = (TESTS / "unit" / file).read_text()
    return re.search(r"cmocka_unit_test\w*\(%s\b" % re.escape(test), text)


def test_every_case_is_proven():
    listed, recorded = rows(), vectors()
    assert sorted(listed) == ["%02d" % number for number in range(1, CASES + 1)]
    assert [n for n in listed if not listed[n] and not recorded.get(n)] == []


def test_what_proves_it_exists():
    assert [name for names in rows().values() for name in names if not exists(name)] == []


def test_every_numbered_vector_is_listed():
    assert sorted(set(vectors()) - set(rows())) == []
