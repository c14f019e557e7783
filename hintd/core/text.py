"""How text is folded before it is compared.  What is compared is never what is written (README rule 14)."""

from __future__ import annotations

import unicodedata


def fold_space(text: str) -> str:
    """One spelling of the same characters (NFC), outer white space gone, each inner run of it a single blank."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold_case(text: str) -> str:
    """``fold_space``, ignoring case as well.

    Folding case can leave letters decomposed that NFC joins again, so NFC comes last: folding twice changes nothing.
    """
    return unicodedata.normalize("NFC", fold_space(text).casefold())


def name_key(text: str) -> str:
    """What the name of a place is looked up by: also without accents and dots ("Québec" = "Quebec", "N.Y." = "NY")."""
    decomposed = unicodedata.normalize("NFKD", fold_case(text))
    bare = "".join(c for c in decomposed if not unicodedata.combining(c) and c != ".")
    return fold_case(bare)
