"""No code that lies in a checkpoint is ever run, whatever the checkpoint says of itself."""

import ast
import json
import pickle
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, BertTokenizerFast

from encoders.errors import CheckpointError, UnsupportedModelError
from encoders.export import export
from encoders.huggingface import load_pretrained, load_tokenizer
from tests.rooms import ROOMS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(20))]
EVIL = """
from pathlib import Path
from transformers import BertConfig, BertModel, BertTokenizerFast
Path({marker!r}).write_text("ran")
class Config(BertConfig): model_type = "bert"
class Model(BertModel): pass
class Tokenizer(BertTokenizerFast): pass
"""


class Bomb:
    """Writes the marker when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "ran")


@pytest.fixture
def marker(tmp_path):
    """Is there after the test if anything of the checkpoint was run."""
    marker = tmp_path / "ran"
    yield marker
    assert not marker.exists(), "code of the checkpoint was run"


@pytest.fixture
def checkpoint(tmp_path, marker):
    """A BERT checkpoint that names code beside it for everything that can be loaded."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "modeling_evil.py").write_text(EVIL.format(marker=str(marker)))
    change(folder / "config.json", auto_map={"AutoConfig": "modeling_evil.Config", "AutoModel": "modeling_evil.Model"})
    place = f"{folder}--modeling_evil.Tokenizer"  # as transformers finds it from wherever this was copied to
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": [place, place]})
    return folder


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize("own_class", [False, True])
def test_code_that_a_checkpoint_names_is_neither_run_nor_passed_on(checkpoint, marker, tmp_path, own_class):
    """A student's export is loaded with trust in its own code: it must not name any other's."""
    model = load_pretrained(str(checkpoint)).model
    tokenizer = load_tokenizer(str(checkpoint))
    written = tmp_path / "export"
    export(model, tokenizer, written, own_class=own_class)
    export(model, checkpoint, written, own_class=own_class)
    assert "auto_map" not in json.loads((written / "tokenizer_config.json").read_text())
    named = json.loads((written / "config.json").read_text()).get("auto_map", {})
    assert all(name.startswith("modeling_stillhouse.") for name in named.values())


def test_a_checkpoint_of_ours_runs_no_changed_code_of_its_own(checkpoint, marker, tmp_path):
    written = tmp_path / "export"
    export(load_pretrained(str(checkpoint)).model, load_tokenizer(str(checkpoint)), written, own_class=True)
    code = written / "modeling_stillhouse.py"
    code.write_text(EVIL.format(marker=str(marker)) + code.read_text())
    change(written / "tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling_stillhouse.Tokenizer", None]})
    assert load_pretrained(str(written)).model is not None
    assert "auto_map" not in load_tokenizer(str(written)).init_kwargs


def test_pickled_weights_are_not_read(checkpoint, marker):
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps({"bomb": Bomb(marker), "size": len(tensors)}))
    with pytest.raises(CheckpointError, match=r"pickled weights \(pytorch_model.bin\) are not read"):
        load_pretrained(str(checkpoint))
    (checkpoint / "pytorch_model.bin").rename(checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_pretrained(str(checkpoint))


def test_an_index_leads_to_no_pickle(checkpoint, marker):
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "part.bin").write_bytes(pickle.dumps(Bomb(marker)))
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "part.bin"}}))
    with pytest.raises(CheckpointError, match=r"must be a \.safetensors file beside it"):
        load_pretrained(str(checkpoint))


def test_a_type_that_only_its_own_code_knows_is_refused(checkpoint, marker):
    change(checkpoint / "config.json", model_type="evil")
    with pytest.raises(UnsupportedModelError, match="'evil' are not supported"):
        load_pretrained(str(checkpoint))


MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {"eval", "exec", "torch.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle"}
ARGUMENTS = {("trust_remote_code", True), ("allow_pickle", True), ("weights_only", False)}


def dangers(tree):
    """What would read or run what others wrote as code."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in MODULES)
            case ast.ImportFrom(module=module) if module in MODULES:
                yield module
            case ast.Call(func=function) if ast.unparse(function) in CALLS:
                yield ast.unparse(function)
            case ast.keyword(arg=name, value=ast.Constant(value=value)) if (name, value) in ARGUMENTS:
                yield f"{name}={value}"


@pytest.mark.parametrize("code", ["import pickle", "eval(x)", "torch.load(x)", "f(trust_remote_code=True)"])
def test_what_is_dangerous_is_known(code):
    assert list(dangers(ast.parse(code)))


def test_no_room_unpickles_or_evaluates(pytestconfig):
    found = {
        str(path.relative_to(pytestconfig.rootpath)): dangerous
        for room in ROOMS
        for path in (pytestconfig.rootpath / room).rglob("*.py")
        if (dangerous := list(dangers(ast.parse(path.read_text()))))
    }
    assert found == {}
