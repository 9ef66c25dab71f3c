"""Text for terminals, pages and files: numbers, plain tables, and text of others that acts nowhere."""

from __future__ import annotations

from rmbench.text.escapes import csv_text, latex_text, markdown_text
from rmbench.text.figures import figure, file_size, letters_of, share
from rmbench.text.printable import guarded, is_unicode, json_text, printable, printable_block, printable_message
from rmbench.text.tables import ColumnLayout, block, line, paragraph, text_table, wrapped

__all__ = [
    "ColumnLayout",
    "block",
    "csv_text",
    "figure",
    "file_size",
    "guarded",
    "is_unicode",
    "json_text",
    "latex_text",
    "letters_of",
    "line",
    "markdown_text",
    "paragraph",
    "printable",
    "printable_block",
    "printable_message",
    "share",
    "text_table",
    "wrapped",
]
