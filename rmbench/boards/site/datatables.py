"""DataTables as one classic script, cut out of the wheel of itables, so that pages need neither a CDN nor npm.

The bundle is an ES module, which a page that is opened from a disk may not load; as a classic script it may.
"""

from __future__ import annotations

import re
from importlib.resources import files

from rmbench.errors import RmbenchError

__all__ = ["classic", "script"]

_EXPORT = re.compile(r"\bexport\s*\{([^{}]*)\}\s*;?(?=\s*(?:/\*.*\*/\s*)?\Z)", re.DOTALL)
"""The last statement; only the licences stand after it."""
_DEFAULT = re.compile(r"(?:^|,)\s*([\w$]+)\s+as\s+default\s*(?:,|$)")


def script() -> str:
    """The library, which sets the global name `DataTable`; its licences stand at its end.

    Raises:
        RmbenchError: itables is not installed, or its bundle has another form.
    """
    try:
        bundle = files("itables") / "html" / "dt_bundle.js"
        text = bundle.read_text("utf-8")
    except (ImportError, OSError) as error:
        raise RmbenchError("A board's page needs itables: pip install 'rmbench[board]'.") from error
    return classic(text)


def classic(bundle: str) -> str:
    """The bundle without its export, its default export under the name `DataTable`.

    >>> print(classic("var a=1;export{b as jQuery,a as default};"))
    (() => {
    var a=1;
    globalThis.DataTable = a;
    })();
    <BLANKLINE>
    """
    export = _EXPORT.search(bundle)
    default = _DEFAULT.search(export.group(1)) if export else None
    if export is None or default is None:
        raise RmbenchError(
            "The DataTables of the installed itables has another form than expected (it ends without a default "
            "export): install another version of itables, 2.6 to 2.9 are known to do."
        )
    body, licences = bundle[: export.start()], bundle[export.end() :].strip()
    return f"(() => {{\n{body}\nglobalThis.DataTable = {default.group(1)};\n}})();\n{licences and licences + chr(10)}"
