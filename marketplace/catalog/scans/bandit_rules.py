"""What bandit's tests are about, in our words: id -> title, why, fix. Pure."""

_SHELL = (
    "A command that is put together from texts runs whatever those texts say.",
    "Call the library instead; if it must be a program, pass a list of arguments and no shell.",
)
_RUN = ("A text that runs as code runs whatever it says.", "Read data with json or ast.literal_eval.")
_LOAD = ("Loading such data can run code in it.", "Use JSON or another format that holds data alone.")
_XML = ("XML of strangers can read files and fill the memory.", "Parse with defusedxml, or take JSON.")
_TLS = (
    "Without checked encryption anybody on the way reads and changes what is sent.",
    "Use the defaults of the library over https.",
)
_CRYPTO = (
    "The method has been broken, or is too weak.",
    "Use SHA-256 or better, and AES-GCM through the cryptography package.",
)
_PLAIN = ("The protocol sends passwords in the clear.", "Use https or ssh.")
_SECRET = ("A password in code is read by everybody who reads the code.", "Read it from the environment.")
_PAGE = (
    "A text that is put into a page unescaped runs in the browser of whoever reads it.",
    "Leave escaping on.",
)
_SQL = ("A query that is put together from texts does what those texts say.", "Pass values as parameters.")
_FILE = ("Others on the machine can read, change or swap the file.", "Use tempfile and narrow permissions.")
_ERRORS = (
    "An error that nobody sees is found by a caller.",
    "Catch what you expect, and say what went wrong.",
)
_FETCH = (
    "What is fetched may be another thing tomorrow, or a file of the machine.",
    "Pin what is fetched, and allow https alone.",
)
_MISC = ("It makes a program easier to misuse.", "See the documentation of bandit for this test.")

_ROWS: dict[tuple[str, str], dict[str, str]] = {
    _SHELL: {
        "B601": "A command over ssh", "B602": "A shell is called", "B603": "A program is called",
        "B604": "A call with shell=True", "B605": "A shell is called", "B606": "A program is started",
        "B607": "A program by a name without its path", "B609": "A wildcard in a command",
        "B404": "Can start programs (subprocess)",
    },
    _RUN: {"B102": "exec", "B307": "eval"},
    _LOAD: {
        "B301": "A pickle is loaded", "B302": "marshal is loaded", "B403": "Can load pickles", "B506": "YAML is loaded with objects",
        "B614": "A PyTorch file is loaded", "B202": "A tar archive is unpacked anywhere",
    },
    _XML: {
        "B313": "XML is parsed (cElementTree)", "B314": "XML is parsed (ElementTree)", "B315": "XML is parsed (expatreader)",
        "B316": "XML is parsed (expatbuilder)", "B317": "XML is parsed (sax)", "B318": "XML is parsed (minidom)",
        "B319": "XML is parsed (pulldom)", "B405": "Can parse XML (etree)", "B406": "Can parse XML (sax)",
        "B407": "Can parse XML (expat)", "B408": "Can parse XML (minidom)", "B409": "Can parse XML (pulldom)",
        "B411": "XML-RPC",
    },
    _TLS: {
        "B323": "A context that checks no certificate", "B501": "A request that checks no certificate", "B502": "An old version of TLS",
        "B503": "An old version of TLS by default", "B504": "TLS without a version", "B507": "ssh without a known host",
    },
    _CRYPTO: {
        "B303": "A weak hash", "B304": "A weak cipher", "B305": "A weak mode of a cipher", "B311": "Random numbers that can be guessed",
        "B324": "A weak hash", "B413": "A package for cryptography that nobody keeps", "B505": "A key that is too short",
        "B508": "SNMP without encryption", "B509": "SNMP with weak encryption",
    },
    _PLAIN: {
        "B312": "telnet", "B321": "ftp", "B401": "Can use telnet", "B402": "Can use ftp", "B415": "Can use IPMI",
    },
    _SECRET: {
        "B105": "A password as a text", "B106": "A password as an argument", "B107": "A password as a default",
    },
    _PAGE: {
        "B201": "A debugger for everybody", "B308": "A text that is marked safe", "B701": "Templates without escaping", "B702": "Templates of Mako",
        "B703": "A text that is marked safe", "B704": "A text that is marked safe",
    },
    _SQL: {"B608": "SQL from texts", "B610": "SQL from texts (extra)", "B611": "SQL from texts (RawSQL)"},
    _FILE: {
        "B103": "A file that everybody may change", "B108": "A fixed path in the temporary folder", "B306": "mktemp",
    },
    _ERRORS: {"B101": "assert as a check", "B110": "An error that is passed over", "B112": "An error that is passed over", "B113": "A request without a timeout"},
    _FETCH: {"B310": "Any kind of address is opened", "B615": "A model without a fixed revision"},
    _MISC: {
        "B104": "Listens on all addresses", "B412": "CGI", "B612": "Logging that can be set from outside",
        "B613": "Characters that turn the direction of reading",
    },
}  # fmt: skip
BANDIT = {
    test_id: (title, why, fix) for (why, fix), titles in _ROWS.items() for test_id, title in titles.items()
}
