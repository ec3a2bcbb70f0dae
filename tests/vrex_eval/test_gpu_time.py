"""What is timed on a GPU, on the CPU and small: it does what the methods do."""

import pytest
import torch

from vrex_eval import gpu_time


@pytest.fixture(autouse=True)
def small(monkeypatch):
    torch.set_num_threads(1)
    for name, size in {"Q_HEADS": 4, "KV_HEADS": 2, "D": 16, "WIDTH": 64, "INNER": 32}.items():
        monkeypatch.setattr(gpu_time, name, size)


@pytest.mark.parametrize("name", gpu_time.METHODS.values())
def test_a_prediction_can_be_repeated(name):
    with torch.no_grad():
        predict = gpu_time.predicts(name, 600, 2, "cpu")
        for _ in range(3):
            predict()


def test_the_layer_gives_its_frame():
    with torch.no_grad():
        out = gpu_time.layer(100, 2, "cpu")()
    assert out.shape == (2, gpu_time.FRAME, 64) and out.isfinite().all()


def test_without_a_gpu_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu_time", "-o", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit) as end:
        gpu_time.main()
    assert end.value.code == 2 and "no GPU" in capsys.readouterr().err
