"""Methods attached to small random transformers models."""

import copy
import json

import pytest
import torch
import transformers

from resv_ref import ReSV
from resv_ref import run as reference
from resv_ref import trace as traces
from vrex import Params, UserError
from vrex_eval.hf import attach
from vrex_eval.method import Stage
from vrex_eval.methods import METHODS, make

transformers.utils.logging.disable_progress_bar()

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def tiny(kind, **changes):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **changes})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data *= 8  # Attention that looks for something.
        layer.self_attn.k_proj.weight.data *= 8
    return model


@pytest.fixture(params=["Llama", "Qwen2", "Qwen3"])
def model(request):
    return tiny(request.param)


@pytest.fixture
def ids():
    return torch.randint(0, 50, (2, 67), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def logits(model, ids):
    return model(input_ids=ids).logits


@pytest.mark.parametrize("chunk", [1, 10, 100])
def test_full_attention_is_the_models_own(model, ids, chunk):
    own = logits(model, ids)
    with attach(model, make("full"), chunk=chunk):
        torch.testing.assert_close(logits(model, ids), own, atol=1e-5, rtol=1e-4)
    assert torch.equal(logits(model, ids), own), "detached"
    assert model.config._attn_implementation == "sdpa"
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_generation_goes_on_from_the_cache(model, ids):
    given = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    given["attention_mask"] = torch.ones_like(ids)
    own = model.generate(ids, **given)
    with attach(model, make("full")):
        assert torch.equal(model.generate(ids, **given), own)


def test_frames_one_a_call_are_the_same_stream(ids):
    model = tiny("Llama")
    params = Params(recent_window=20, join_window=16)
    with attach(model, params, chunk=10):
        at_once = logits(model, ids)
    with attach(model, params, chunk=64), torch.no_grad():
        parts, cache = [], transformers.DynamicCache()
        for first in range(0, 67, 10):
            frame = model.model.embed_tokens(ids[:, first : first + 10])
            parts.append(model(inputs_embeds=frame, cache=cache).logits)
    torch.testing.assert_close(torch.cat(parts, 1), at_once, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs(ids, name):
    model = tiny("Llama")
    own = logits(model, ids)
    few = name in ("chunks", "quest")
    method = make(name, 1 if few else None, recent=4 if few else 20)
    with attach(model, method, chunk=2) as attached:
        got = logits(model, ids)
        reads = attached.reads()
    assert got.isfinite().all()
    assert 0 < reads["read"] <= 1 and reads["fetched"] <= reads["read"]
    if few or name in ("recommended", "resv"):
        assert reads["read"] < 1 and not torch.allclose(got, own)


def test_resv_attached_selects_as_the_reference(ids):
    """What layer 0 reads is what the reference reads of keys and queries computed by hand."""
    model = tiny("Qwen3")
    params = Params(recent_window=20, join_window=16)
    with attach(model, params) as attached:
        logits(model, ids)
        cache = attached._caches[0].inner
        step = {}
        layer = model.model.layers[0].self_attn
        x = model.model.layers[0].input_layernorm(model.model.embed_tokens(ids))
        turn = model.model.rotary_emb(x, torch.arange(67)[None])
        q = layer.q_norm(layer.q_proj(x).unflatten(-1, (-1, 8)))
        k = layer.k_norm(layer.k_proj(x).unflatten(-1, (-1, 8)))
        apply = transformers.models.qwen3.modeling_qwen3.apply_rotary_pos_emb
        q_turned, k_turned = apply(q, k, *turn, unsqueeze_dim=2)
        step = {"q": q_turned, "k": k_turned, "k_hash": k}
    resv = ReSV(params, engine="float")
    for first in range(0, 67, 10):
        part = {name: x[1, first : first + 10].detach() for name, x in step.items()}
        wanted = resv.step(part["q"], part["k"], None, part["k_hash"])
    number = cache.tables.cluster_of.first(67).unflatten(0, (2, 2))[1, :, -7:].T
    assert torch.equal(number.int(), wanted.cluster)
    rows = cache.last.selected[1].unflatten(1, (2, -1)).flatten(0, 1)
    assert torch.equal(rows[..., : wanted.row_selected.shape[-1]], wanted.row_selected)


def test_the_previous_layers_query_is_what_prefetch_would_use(ids):
    model = tiny("Llama")
    caught = []

    class Spy:
        name = "spy"

        def layer(self, index, layers):
            inner = make("full").layer(index, layers)
            own = inner.attend
            inner.attend = lambda step: (caught.append((index, step)), own(step))[1]
            return inner

    inputs = []
    hooks = [
        layer.self_attn.register_forward_pre_hook(
            lambda m, a, kw: inputs.append(kw["hidden_states"]), with_kwargs=True
        )
        for layer in model.model.layers
    ]
    with attach(model, Spy(), chunk=100):
        logits(model, ids)
    for hook in hooks:
        hook.remove()
    assert caught[0][1].q_previous is None
    step = caught[1][1]
    layer = model.model.layers[1].self_attn
    early = layer.q_proj(inputs[0]).unflatten(-1, (-1, 8))
    turn = model.model.rotary_emb(inputs[0], torch.arange(67)[None])
    apply = transformers.models.llama.modeling_llama.apply_rotary_pos_emb
    torch.testing.assert_close(step.q_previous, apply(early, early, *turn, unsqueeze_dim=2)[0])


def test_a_question_leaves_the_stream_as_it_was(ids):
    model = tiny("Llama")
    with attach(model, Params(recent_window=20)) as attached, torch.no_grad():
        first = model(input_ids=ids[:, :60], use_cache=True)
        name = "cache" if hasattr(first, "cache") else "past_key_values"
        kept, own = attached.snapshot(), first[name]
        attached.stage = Stage.TEXT
        asked = [
            model(input_ids=ids[:, 60:], use_cache=True, **{name: copy.deepcopy(own)}).logits
            for _ in range(2)
            if attached.restore(kept) is None
        ]
        assert torch.equal(*asked)
        with pytest.raises(UserError, match="60 tokens, of which 67"):
            model(input_ids=ids[:, 60:], use_cache=True, **{name: copy.deepcopy(own)})


def test_what_does_not_fit_is_refused(ids):
    model = tiny("Llama")
    with pytest.raises(UserError, match="chunk is 0"):
        attach(model, chunk=0)
    with pytest.raises(UserError, match="q_proj"):
        attach(transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=12)))
    sliding = tiny("Qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0)
    with pytest.raises(UserError, match="sliding"):
        attach(sliding)
    with attach(model) as attached:
        with pytest.raises(UserError, match="attached already"):
            attach(model)
        mask = torch.ones_like(ids)
        mask[0, :5] = 0
        with pytest.raises(UserError, match="padded"):
            model(input_ids=ids, attention_mask=mask)
        attached.detach()
    assert model.config._attn_implementation == "sdpa"


@pytest.fixture
def folder(tmp_path):
    tiny("Llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_capture_writes_a_trace_of_several_layers(vrex, tmp_path, folder, ids):
    given = tmp_path / "ids.json"
    given.write_text(json.dumps(ids[0].tolist()))
    output = tmp_path / "trace.safetensors"
    layers = ("--layer", 2, "--layer", 0)
    result = vrex("capture", folder, *layers, "--input", given, "--answer", 3, "-o", output)
    assert (result.code, result.err) == (0, "")
    trace = traces.read(output)
    assert (trace.layers, trace.frames, trace.tokens, trace.q_heads) == (2, 10, 10, 4)
    assert trace.frame_lengths.tolist() == [10] * 6 + [7, 1, 1, 1]
    tensors, _ = reference.run(trace, trace.params.replace(recent_window=20), "float")
    assert tensors["attn_out"].shape == trace.q.shape
    assert trace.params == Params()
    assert trace.text.tolist() == [False] * 7 + [True] * 3 and trace.q_retrieve is not None
    vrex("capture", folder, "--lean", *layers, "--input", given, "--answer", 3, "-o", output)
    assert traces.read(output).q_retrieve is None


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ((), "--input is missing"),
        (("--input", "none.txt"), "none.txt"),
        (("--input", "text.txt"), "tokenizer"),
        (("--input", "bad.json"), "token ids"),
        (("--input", "far.json"), "token 99"),
        (("--input", "ids.json", "--layer", 7), "layer 7"),
    ],
)
def test_capture_refuses_in_one_line(vrex, tmp_path, monkeypatch, folder, arguments, fragment):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "text.txt": "hello",
        "bad.json": "{}",
        "far.json": "[1, 99]",
        "ids.json": "[1, 2]",
    }.items():
        (tmp_path / name).write_text(text)
    result = vrex("capture", folder, *arguments, "-o", tmp_path / "out.safetensors")
    assert result.code == 2
    assert result.err.startswith("vrex: ") and result.err.count("\n") == 1
    assert fragment in result.err
    assert not (tmp_path / "out.safetensors").exists()


def test_capture_refuses_a_folder_that_is_not_there(vrex, tmp_path):
    result = vrex("capture", tmp_path / "none", "-o", tmp_path / "out.safetensors")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "is no folder" in result.err
