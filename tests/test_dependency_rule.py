"""The dependency rule: what each package may import, read from the sources."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "vrex": ROOT / "vrex",
    "resv_ref": ROOT / "resv_ref",
    "vrex_hw": ROOT / "vrex_hw",
    "vrex_sim": ROOT / "sim" / "vrex_sim",
    "vrex_synth": ROOT / "synth" / "vrex_synth",
    "vrex_formal": ROOT / "formal" / "vrex_formal",
    "vrex_video": ROOT / "accuracy" / "vrex_video",
    "vrex_eval": ROOT / "accuracy" / "vrex_eval",
    "vrex_cli": ROOT / "cli" / "vrex_cli",
}
FORBIDDEN = {
    "vrex": {"torch", "amaranth", *PACKAGES} - {"vrex"},
    "resv_ref": {"amaranth", *PACKAGES} - {"vrex", "resv_ref"},
    "vrex_hw": {"torch", *PACKAGES} - {"vrex", "vrex_hw"},
    "vrex_sim": {"vrex_synth", "vrex_formal", "vrex_video", "vrex_eval", "vrex_cli"},
    "vrex_synth": {"vrex_formal", "vrex_video", "vrex_eval", "vrex_cli"},
    "vrex_formal": {"vrex_video", "vrex_eval", "vrex_cli"},
    "vrex_video": {"amaranth", *PACKAGES} - {"vrex", "resv_ref", "vrex_eval", "vrex_video"},
    "vrex_eval": {"amaranth", *PACKAGES} - {"vrex", "resv_ref", "vrex_eval"},
    "vrex_cli": set(),
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports(package):
    files = list(PACKAGES[package].rglob("*.py"))
    assert files
    for path in files:
        assert not imports(path) & FORBIDDEN[package], path


@pytest.mark.parametrize("package", PACKAGES)
def test_no_pickle(package):
    for path in PACKAGES[package].rglob("*.py"):
        assert not imports(path) & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
        text = path.read_text()
        assert "torch.load(" not in text and "allow_pickle=True" not in text, path
