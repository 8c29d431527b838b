"""Import from folders and the hub."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, BertModel

from encoders.build import architecture_of, build, head_of, labels_of
from encoders.errors import CheckpointError, EncoderError, SourceNotFoundError, UnsupportedModelError
from encoders.huggingface import folder_of, load_pretrained, load_tokenizer
from encoders.values import Head, Pooling
from encoders.weights import read, save_weights
from search_space import Activation, Pooler


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def bert_config(**changes) -> BertConfig:
    shape = {
        "vocab_size": 60,
        "num_hidden_layers": 3,
        "hidden_size": 24,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 20,
    }
    return BertConfig(**(shape | changes))


def rewrite(folder: Path, change) -> None:
    """Passes the folder's tensors through `change`."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.fixture
def batch():
    ids = torch.randint(0, 60, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(12)[None, :] < torch.tensor([12, 5, 1])[:, None]).long()
    types = (torch.arange(12)[None, :] >= 6).long().expand(3, 12)
    return ids, mask, types


def test_bert_brings_its_shape_and_gets_the_head_asked_for(tmp_path):
    BertModel(bert_config(hidden_act="relu", hidden_dropout_prob=0.3)).save_pretrained(tmp_path)
    head = Head(classes=2, pooling=Pooling.CLS)
    model = load_pretrained(str(tmp_path), head=head, labels=["no", "yes"]).model
    shape = architecture_of(model.config)
    assert (shape.layers, shape.hidden_size, shape.heads, shape.head_size, shape.ffn_size) == (3, 24, 4, 6, 40)
    assert shape.activation is Activation.RELU
    assert head_of(model.config) == head
    assert labels_of(model.config) == ("no", "yes")
    assert model.config.dropout == 0.3


def test_the_folder_of_a_hubs_model_holds_all_that_was_read_of_it(tmp_path):
    cached = tmp_path / "hub" / "models--owner--name"
    snapshot = cached / "snapshots" / ("a" * 40)
    BertModel(bert_config()).save_pretrained(snapshot)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("a" * 40)
    read_from_hub = load_pretrained("owner/name").model
    folder = folder_of("owner/name")
    assert folder == snapshot
    again = load_pretrained(str(folder)).model
    assert (architecture_of(again.config), head_of(again.config)) == (
        architecture_of(read_from_hub.config),
        head_of(read_from_hub.config),
    )
    assert folder_of(str(snapshot)) == snapshot
    with pytest.raises(SourceNotFoundError, match="'owner/other' is not a local folder"):
        folder_of("owner/other")


def test_tensorflows_names_and_old_buffers_are_read(tmp_path, scramble, batch):
    theirs = BertModel(bert_config())
    scramble(theirs)
    theirs.save_pretrained(tmp_path)
    expected = load_pretrained(str(tmp_path)).model.encoder(*batch).last_hidden_state

    def old(tensors):
        names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        aged = {}
        for name, tensor in tensors.items():
            for new_end, old_end in names.items():
                name = name.replace(new_end, old_end)
            aged[f"bert.{name}"] = tensor
        assert any(name.endswith("gamma") for name in aged)
        aged["fit_denses.0.weight"] = torch.ones(2, 2)  # TinyBERT's
        return aged | {"bert.embeddings.position_ids": torch.arange(20)[None, :].clone()}

    rewrite(tmp_path, old)
    torch.testing.assert_close(load_pretrained(str(tmp_path)).model.encoder(*batch).last_hidden_state, expected)


def test_sharded_half_precision_weights_become_whole_floats(tmp_path, batch):
    theirs = BertModel(bert_config()).half()
    theirs.save_pretrained(tmp_path, max_shard_size="10KB")
    assert not (tmp_path / "model.safetensors").exists()
    model = load_pretrained(str(tmp_path)).model
    assert model.dtype == torch.float32
    expected = theirs.float().eval()(*batch[:2]).last_hidden_state
    real = batch[1].bool()
    torch.testing.assert_close(model.encoder(*batch[:2]).last_hidden_state[real], expected[real], atol=1e-5, rtol=0)


def test_our_own_model_comes_with_its_head(tmp_path, architecture, scramble, batch):
    saved = build(architecture, Head(classes=3, pooling=Pooling.CLS), ["a", "b", "c"])
    scramble(saved)
    saved.save_pretrained(tmp_path)
    for head, labels in ((None, None), (Head(classes=3, pooling=Pooling.CLS), ["a", "b", "c"])):
        imported = load_pretrained(str(tmp_path), head=head, labels=labels)
        assert imported.has_task_head
        assert labels_of(imported.model.config) == ("a", "b", "c")
        torch.testing.assert_close(imported.model(*batch).logits, saved(*batch).logits)


@pytest.mark.parametrize(("classes", "labels"), [(2, None), (3, ["x", "y", "z"])])
def test_our_own_model_gets_a_new_head_for_another_task(tmp_path, architecture, scramble, batch, classes, labels):
    saved = build(architecture, Head(classes=3))
    scramble(saved)
    saved.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path), head=Head(classes=classes), labels=labels)
    assert not imported.has_task_head
    assert imported.model.num_labels == classes
    expected = saved.encoder(*batch).last_hidden_state
    torch.testing.assert_close(imported.model.encoder(*batch).last_hidden_state, expected)
    assert not torch.equal(imported.model.classifier.weight[:2], saved.classifier.weight[:2])


def test_importing_leaves_the_global_random_state_alone(tmp_path):
    BertModel(bert_config()).save_pretrained(tmp_path)
    before = torch.get_rng_state()
    load_pretrained(str(tmp_path))
    assert torch.equal(torch.get_rng_state(), before)


def test_other_model_types_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "electra"}))
    with pytest.raises(UnsupportedModelError, match=r"'electra' are not supported; supported are bert, roberta, "):
        load_pretrained(str(tmp_path))


BERT = {"model_type": "bert", "hidden_size": 24, "num_attention_heads": 4}
ROBERTA = {**BERT, "model_type": "roberta"}
DISTILBERT = {"model_type": "distilbert", "dim": 24, "n_heads": 4}
MOBILEBERT = {"model_type": "mobilebert"}


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        (BERT, {"hidden_act": "gelu_new"}),
        (BERT, {"position_embedding_type": "relative_key"}),
        (BERT, {"is_decoder": True}),
        (BERT, {"num_attention_heads": 5}),
        (BERT, {"pruned_heads": {"0": [1]}}),
        (BERT, {"quantization_config": {}}),
        (ROBERTA, {"hidden_act": "silu"}),
        (ROBERTA, {"pad_token_id": None}),
        (DISTILBERT, {"activation": "silu"}),
        (DISTILBERT, {"n_heads": 5}),
        (MOBILEBERT, {"normalization_type": "batch_norm"}),
        (MOBILEBERT, {"layer_norm_eps": 1e-12, "normalization_type": "layer_norm"}),
        (MOBILEBERT, {"key_query_shared_bottleneck": False}),
    ],
)
def test_models_that_compute_something_else_are_refused_by_setting(tmp_path, config, setting):
    (tmp_path / "config.json").write_text(json.dumps(config | setting))
    with pytest.raises(UnsupportedModelError, match=f"{config['model_type']}.*{next(iter(setting))}"):
        load_pretrained(str(tmp_path))


def test_a_configuration_that_transformers_cannot_read_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BERT | {"vocab_size": "many"}))
    with pytest.raises(UnsupportedModelError, match=r"cannot read its config\.json.*vocab_size"):
        load_pretrained(str(tmp_path))


@pytest.mark.parametrize("config", [BERT, ROBERTA, DISTILBERT, MOBILEBERT, {"model_type": "stillhouse"}])
@pytest.mark.parametrize(
    "setting",
    [
        {"id2label": "x"},
        {"id2label": ["x"]},
        {"id2label": {"first": "x"}},
        {"architectures": 5},
        {"architectures": [3]},
        {"num_labels": "x"},
        {"hidden_size": None},
        {"hidden_size": 0},
        {"head_size": "x", "num_attention_heads": 0},
        {"layers": [], "num_hidden_layers": "six"},
        {"norm": [], "max_position_embeddings": 2.5},
        {"dtype": "nope"},
    ],
)
def test_a_setting_of_the_wrong_type_is_one_error_that_names_it(tmp_path, config, setting):
    (tmp_path / "config.json").write_text(json.dumps(config | setting))
    with pytest.raises(EncoderError, match=f"{tmp_path}: .*({'|'.join(setting.keys() - {'dtype'}) or 'nope'})"):
        load_pretrained(str(tmp_path))


@pytest.mark.parametrize(
    "file", ["../model.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "..", "x.bin", 3, None]
)
def test_a_sharded_checkpoint_that_names_a_file_elsewhere_is_refused(tmp_path, file):
    folder = tmp_path / "model"
    BertModel(bert_config()).save_pretrained(folder)
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    index = {"weight_map": {"embeddings.word_embeddings.weight": file}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"index\.json: weight_map names .* for embeddings\.word_embeddings"):
        load_pretrained(str(folder))


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": "x"}])
def test_an_index_without_a_map_is_refused(tmp_path, index):
    bert_config().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="weight_map must be a mapping"):
        load_pretrained(str(tmp_path))


class Hub(BaseHTTPRequestHandler):
    """Serves the files of a folder as the hub serves those of a model."""

    folder: Path
    asked: list[str]

    def do_HEAD(self):
        self.asked.append(self.path)
        path = self.folder / self.path.rpartition("/")[2]
        is_there = self.path.startswith("/me/bert/resolve/") and path.is_file()
        self.send_response(200 if is_there or self.path == "/" else 404)
        if is_there:
            self.send_header("ETag", f'"{path.name}"')
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("Content-Length", str(path.stat().st_size))
        elif self.path != "/":
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        return path if is_there else None

    def do_GET(self):
        path = self.do_HEAD()
        if path:
            self.wfile.write(path.read_bytes())

    def log_message(self, *arguments):
        """Silent."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder whose files are on a hub as `me/bert`; ends the hub when called."""
    constants = huggingface_hub.constants
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Hub,), {"folder": folder, "asked": []}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )

    def stop():
        server.shutdown()
        server.server_close()
        thread.join()

    yield folder, stop
    stop()


def test_a_model_of_the_hub_is_downloaded_and_then_had_offline(hub):
    folder, stop = hub
    BertModel(bert_config()).save_pretrained(folder)
    online = load_pretrained("me/bert").model
    stop()
    start = time.monotonic()
    offline = load_pretrained("me/bert").model
    assert time.monotonic() - start < 5
    weights = "encoder.embeddings.word.weight"
    assert torch.equal(online.state_dict()[weights], offline.state_dict()[weights])


def test_a_hub_out_of_reach_is_told_soon(hub):
    _, stop = hub
    stop()
    start = time.monotonic()
    for load in (load_pretrained, load_tokenizer):
        with pytest.raises(SourceNotFoundError, match=r"'me/bert' is not a local folder.* cannot be reached"):
            load("me/bert")
    assert time.monotonic() - start < 5


def test_a_model_that_the_hub_does_not_have_is_told_as_such(hub):
    with pytest.raises(SourceNotFoundError, match=r"'me/bert' has no config\.json"):
        load_pretrained("me/bert")


def fine_tuned(folder: Path, scramble, *labels: str) -> BertForSequenceClassification:
    config = bert_config(num_labels=len(labels))
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: place for place, label in enumerate(labels)}
    model = BertForSequenceClassification(config).eval()
    scramble(model)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("own", "wanted", "order"),
    [
        (("no", "yes", "perhaps"), ("no", "yes", "perhaps"), [0, 1, 2]),
        (("no", "yes", "perhaps"), ("Yes", "Perhaps", "No"), [1, 2, 0]),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("a", "b", "c"), None),
        (("no", "yes", "perhaps"), ("a", "b", "c"), None),
    ],
)
def test_labels_decide_whether_and_in_which_order_a_head_is_kept(tmp_path, scramble, batch, own, wanted, order):
    theirs = fine_tuned(tmp_path, scramble, *own)
    imported = load_pretrained(str(tmp_path), labels=wanted)
    assert imported.has_task_head == (order is not None)
    assert labels_of(imported.model.config) == wanted
    if order is not None:
        found = imported.model(*batch).logits
        torch.testing.assert_close(found, theirs(*batch).logits[:, order], atol=1e-5, rtol=1e-5)


def test_a_multi_label_head_is_not_kept(tmp_path, scramble):
    fine_tuned(tmp_path, scramble, "a", "b", "c")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"problem_type": "multi_label_classification"}))
    imported = load_pretrained(str(tmp_path))
    assert not imported.has_task_head
    assert imported.model.num_labels == 3


def test_a_head_that_only_the_configuration_has_is_not_kept(tmp_path, scramble):
    fine_tuned(tmp_path, scramble, "a", "b", "c")
    rewrite(tmp_path, lambda tensors: {n: t for n, t in tensors.items() if not n.startswith("classifier.")})
    assert not load_pretrained(str(tmp_path)).has_task_head


def test_an_encoder_of_our_own_without_a_head_gets_one(tmp_path, architecture, scramble, batch):
    encoder = build(replace(architecture, pooler=Pooler.TANH), Head(classes=2)).encoder
    scramble(encoder)
    encoder.save_pretrained(tmp_path)
    for pooling in Pooling:
        imported = load_pretrained(str(tmp_path), head=Head(classes=3, pooling=pooling))
        assert not imported.has_task_head
        found = imported.model.encoder(*batch)
        assert torch.equal(found.last_hidden_state, encoder(*batch).last_hidden_state)
        assert (found.pooler_output is None) == (pooling is Pooling.MEAN)


def test_pickled_weights_are_refused(tmp_path):
    model = BertModel(bert_config())
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled weights \(pytorch_model\.bin\) are not read"):
        load_pretrained(str(tmp_path))


def test_missing_and_foreign_tensors_are_named(tmp_path):
    BertModel(bert_config()).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: {n: t for n, t in tensors.items() if "layer.2.output.dense" not in n})
    with pytest.raises(CheckpointError, match=r"misses bert\.encoder\.layer\.2\.output\.dense\.bias"):
        load_pretrained(str(tmp_path))
    BertModel(bert_config()).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: tensors | {"encoder.adapter.weight": torch.ones(2)})
    with pytest.raises(CheckpointError, match=r"not of its model type: encoder\.adapter\.weight"):
        load_pretrained(str(tmp_path))
    rewrite(tmp_path, lambda tensors: {n: t for n, t in tensors.items() if "adapter" not in n})
    rewrite(tmp_path, lambda tensors: tensors | {"embeddings.word_embeddings.weight": torch.ones(60, 23)})
    with pytest.raises(CheckpointError, match=r"another shape: embeddings\.word\.weight \[60, 23\]"):
        load_pretrained(str(tmp_path))


def test_our_own_model_with_a_torn_configuration_is_refused(tmp_path, architecture):
    model = build(architecture, Head(classes=3))
    save_weights(model, tmp_path / "model.safetensors")
    assert read(tmp_path / "model.safetensors")
    for text, error, message in (
        ('{"model_type": "still', CheckpointError, "not JSON"),
        ('["stillhouse"]', CheckpointError, "must hold a mapping"),
        (json.dumps(model.config.to_dict() | {"layers": 0}), UnsupportedModelError, "layers must be an integer"),
        (json.dumps(model.config.to_dict() | {"layers": 2}), CheckpointError, "unknown: encoder.layers.2"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(error, match=message):
            load_pretrained(str(tmp_path))


@pytest.mark.parametrize("source", ["nobody/has-this", "./no/such/folder", "/no/such/folder"])
def test_what_is_nowhere_is_one_error_that_names_it(source):
    for load in (load_pretrained, load_tokenizer):
        with pytest.raises(SourceNotFoundError, match=source):
            load(source)


def test_a_folder_without_a_model_or_tokenizer_is_named(tmp_path):
    with pytest.raises(SourceNotFoundError, match=r"has no config\.json"):
        load_pretrained(str(tmp_path))
    with pytest.raises(SourceNotFoundError, match="no tokenizer"):
        load_tokenizer(str(tmp_path))


def test_a_saved_tokenizer_comes_back(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path)
    text = "a text, unknown 数 and known"
    assert load_tokenizer(str(tmp_path))(text)["input_ids"] == tokenizer(text)["input_ids"]
