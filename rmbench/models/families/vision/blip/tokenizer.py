"""Tokenizers of models that read texts beside images, from the checkpoint's folder or another: BERT's for BLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["bert_tokenizer", "tokenizer_files"]

_FILES = ("tokenizer.json", "vocab.txt")


def tokenizer_files(checkpoint: Checkpoint, named: str | None) -> tuple[Path, str]:
    """The folder of a tokenizer and where it was found, for the record.

    Args:
        checkpoint: the model's.
        named: a folder or hub id that has it instead.

    Raises:
        RmbenchError: it cannot be downloaded.
    """
    if named is None:
        return checkpoint.folder, "the checkpoint's"
    folder = Path(named)
    if folder.is_dir():
        return folder, named
    from rmbench.models.checkpoint.hub import download

    found = download(named, None, weights="tokenizer.json")  # and none of its weights
    return found.folder, f"{named}@{found.commit}"


def bert_tokenizer(checkpoint: Checkpoint, named: str | None, vocabulary: int) -> tuple[Any, str]:
    """The tokenizer and where it was found, for the record.

    Args:
        checkpoint: the model's.
        named: a folder or hub id that has it instead.
        vocabulary: embeddings of the text tower.

    Raises:
        RmbenchError: there is none, it is not BERT's, or it has more tokens than there are embeddings.
    """
    where = checkpoint.folder
    folder, source = tokenizer_files(checkpoint, named)
    if not any((folder / name).exists() for name in _FILES):
        raise RmbenchError(
            f"{folder} holds no tokenizer: put vocab.txt of bert-base-uncased there, or pass --model-args "
            "tokenizer=FOLDER."
        )
    tokenizer = _loaded(folder)
    if len(tokenizer) > vocabulary:
        raise RmbenchError(f"{where}: the tokenizer has {len(tokenizer):,} tokens, the text tower {vocabulary:,}.")
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise RmbenchError(f"{where}: the tokenizer has no [CLS] or no [SEP]; it must be BERT's.")
    return tokenizer, source


def _loaded(folder: Path) -> Any:
    from transformers import AutoTokenizer, BertTokenizer

    saved = (folder / "tokenizer_config.json").exists()
    try:
        return (AutoTokenizer if saved else BertTokenizer).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RmbenchError(f"Cannot load the tokenizer of {folder}: {' '.join(str(error).split())[:200]}") from error
