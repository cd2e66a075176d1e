"""Names that look alike: a skeleton in which letters of other scripts become the Latin ones they look like. Pure."""

import unicodedata

# Cyrillic, Greek, Armenian and a few Latin letters and digits that are read as another in most typefaces.
_PAIRS = (
    ("аàáâãäåāăąɑα", "a"), ("Ьв", "b"), ("сϲçćč", "c"), ("ԁɗ", "d"), ("еёèéêëēėęєε", "e"), ("ғ", "f"), ("ɡց", "g"),
    ("һհ", "h"), ("іїìíîïīįıιɩ1l|ӏ!", "i"), ("јʝ", "j"), ("кκқ", "k"), ("мｍ", "m"), ("ոηпńñň", "n"),
    ("оòóôõöøōοσօ0", "o"), ("рρ", "p"), ("ԛզ", "q"), ("гɾ", "r"), ("ѕꜱśš5$", "s"), ("тτ7", "t"),
    ("υսùúûüūμц", "u"), ("νѵ", "v"), ("ԝωѡ", "w"), ("хχ×", "x"), ("уγýÿ", "y"), ("ᴢźżž2", "z"), ("з3", "e"), ("4", "a"),
)  # fmt: skip
_LOOKS_LIKE = {letter: plain for letters, plain in _PAIRS for letter in letters}
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "HEBREW", "ARABIC")


def skeleton(name: str) -> str:
    """Reduce a name to how it looks: “Where2Eаt” with a Cyrillic а gives the same as “where2eat”."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    mapped = "".join(_LOOKS_LIKE.get(letter, letter) for letter in folded)
    # What is left of accents falls off; signs and spaces do not make a name another one.
    plain = unicodedata.normalize("NFD", mapped).replace("rn", "m").replace("vv", "w")
    return "".join(letter for letter in plain if letter.isalnum())


def scripts_of(word: str) -> set[str]:
    """Return which of the scripts that are confused stand in one word."""
    names = (unicodedata.name(letter, "") for letter in word if letter.isalpha())
    return {script.capitalize() for name in names for script in _SCRIPTS if name.startswith(script)}
