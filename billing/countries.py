"""Countries that invoices come from and go to, with their names in the languages of documents."""

# Code of ISO 3166-1, English and German name.
_TABLE = """
AE|United Arab Emirates|Vereinigte Arabische Emirate
AR|Argentina|Argentinien
AT|Austria|Österreich
AU|Australia|Australien
BA|Bosnia and Herzegovina|Bosnien und Herzegowina
BE|Belgium|Belgien
BG|Bulgaria|Bulgarien
BH|Bahrain|Bahrain
BR|Brazil|Brasilien
CA|Canada|Kanada
CH|Switzerland|Schweiz
CL|Chile|Chile
CN|China|China
CO|Colombia|Kolumbien
CR|Costa Rica|Costa Rica
CY|Cyprus|Zypern
CZ|Czechia|Tschechien
DE|Germany|Deutschland
DK|Denmark|Dänemark
EE|Estonia|Estland
EG|Egypt|Ägypten
ES|Spain|Spanien
FI|Finland|Finnland
FR|France|Frankreich
GB|United Kingdom|Vereinigtes Königreich
GH|Ghana|Ghana
GR|Greece|Griechenland
HK|Hong Kong|Hongkong
HR|Croatia|Kroatien
HU|Hungary|Ungarn
ID|Indonesia|Indonesien
IE|Ireland|Irland
IL|Israel|Israel
IN|India|Indien
IS|Iceland|Island
IT|Italy|Italien
JP|Japan|Japan
KE|Kenya|Kenia
KR|South Korea|Südkorea
KW|Kuwait|Kuwait
LI|Liechtenstein|Liechtenstein
LT|Lithuania|Litauen
LU|Luxembourg|Luxemburg
LV|Latvia|Lettland
MA|Morocco|Marokko
MC|Monaco|Monaco
MD|Moldova|Moldau
ME|Montenegro|Montenegro
MK|North Macedonia|Nordmazedonien
MT|Malta|Malta
MX|Mexico|Mexiko
MY|Malaysia|Malaysia
NG|Nigeria|Nigeria
NL|Netherlands|Niederlande
NO|Norway|Norwegen
NZ|New Zealand|Neuseeland
OM|Oman|Oman
PE|Peru|Peru
PH|Philippines|Philippinen
PK|Pakistan|Pakistan
PL|Poland|Polen
PT|Portugal|Portugal
QA|Qatar|Katar
RO|Romania|Rumänien
RS|Serbia|Serbien
SA|Saudi Arabia|Saudi-Arabien
SE|Sweden|Schweden
SG|Singapore|Singapur
SI|Slovenia|Slowenien
SK|Slovakia|Slowakei
TH|Thailand|Thailand
TN|Tunisia|Tunesien
TR|Türkiye|Türkei
TW|Taiwan|Taiwan
UA|Ukraine|Ukraine
US|United States|Vereinigte Staaten
UY|Uruguay|Uruguay
VN|Vietnam|Vietnam
ZA|South Africa|Südafrika
"""
_ROWS = [row.split("|") for row in _TABLE.strip().splitlines()]
NAMES: dict[str, dict[str, str]] = {
    "en": {code: english for code, english, _ in _ROWS},
    "de": {code: german for code, _, german in _ROWS},
}
CHOICES = sorted(NAMES["en"].items(), key=lambda item: item[1])
# Member states, whose businesses account for tax on services from other member states themselves.
EU = frozenset(
    {
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IT",
        "LT",
        "LU",
        "LV",
        "MT",
        "NL",
    }
    | {"PL", "PT", "RO", "SE", "SI", "SK"}
)


def name_of(code: str, *, language: str = "en") -> str:
    """Name a country in a language of documents; a code that is not in the table stands for itself."""
    return NAMES.get(language, NAMES["en"]).get(code, code)
