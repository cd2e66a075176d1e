"""Every rule of the checks in words: what it is about, why it matters, what to do. Pure."""

from dataclasses import dataclass

from marketplace.catalog.scans.bandit_rules import BANDIT

CHECKS = {
    "hygiene": "Texts and names",
    "secrets": "Secrets",
    "template": "Prompt safety",
    "code": "Code",
    "dependencies": "Dependencies",
    "endpoint": "Endpoint",
    "behavior": "Expected answers",
    "sustainability": "Sustainability",
}


@dataclass(frozen=True)
class Rule:
    """One rule. ``is_waivable``: a second person may accept what it finds for a while."""

    id: str
    check: str
    title: str
    why: str
    fix: str
    is_waivable: bool = True

    @property
    def anchor(self) -> str:
        return self.id.replace(".", "-")


def rule_of(rule_id: str) -> Rule:
    """Return a rule; of one that is no longer there, a rule that says so."""
    unknown = Rule(rule_id, "", rule_id, "This rule is no longer in use.", "Run the check again.")
    return RULES.get(rule_id, unknown)


def rules_by_check() -> list[tuple[str, list[Rule]]]:
    """Return the rules in the order of the checks, for the page that explains them."""
    return [(title, [one for one in RULES.values() if one.check == check]) for check, title in CHECKS.items()]


def _rules(check: str, *rows: tuple[str, str, str, str], waivable: bool = True) -> list[Rule]:
    return [Rule(rule_id, check, title, why, fix, waivable) for rule_id, title, why, fix in rows]


_ALL = [
    *_rules(
        "hygiene",
        ("hygiene.bidi", "Characters that turn the direction of reading", "A reviewer reads another text than a model or a program gets.", "Delete the characters; type the text anew where they stand."),
        ("hygiene.tags", "Invisible tag characters", "They carry instructions that a model reads and nobody sees.", "Delete them; type the text anew."),
        ("hygiene.look-alike-name", "A name that looks like another app's", "People subscribe to the wrong app.", "Choose a name that is read differently."),
        waivable=False,
    ),
    *_rules(
        "hygiene",
        ("hygiene.zero-width", "Characters of no width", "They hide words from search and from whoever reads.", "Delete them. Joiners in Persian, Indic scripts and emoji are not meant."),
        ("hygiene.control", "Control characters", "They have no place in a text and can hide a part of it.", "Delete them."),
        ("hygiene.encoding", "Damaged characters", "The text was read in a wrong encoding once.", "Type the characters anew."),
        ("hygiene.size", "Too much text", "What nobody can read, nobody can review.", "Shorten descriptions, instructions and examples."),
        ("hygiene.mixed-scripts", "A word of two alphabets", "Letters that look alike make a word another one.", "Write the word in one alphabet."),
        ("hygiene.same-name", "A name that is taken", "Two apps of one name are confused.", "Add what tells yours apart."),
        ("markdown.active", "Markup that does something", "Scripts, frames and forms have no place in a description.", "Remove the markup; write plain text."),
        ("markdown.html", "HTML", "It is not shown as HTML.", "Write plain text."),
        ("markdown.link", "A link that runs something", "A link of this kind runs a script of its author for whoever follows it.", "Link to an https address."),
        ("markdown.image", "An image from elsewhere", "Loading it tells its server who reads and when; in a model's answer it carries data out.", "Remove the image."),
    ),
    *_rules(
        "secrets",
        ("secrets.model-key", "A key of a model vendor", "Everybody who reads this text can spend your money.", "Revoke the key at its vendor now, then remove it: a version that was handed in has been read."),
        ("secrets.key", "A key or password", "Everybody who reads this text can use it.", "Revoke it where it was issued, then remove it."),
        waivable=False,
    ),
    *_rules(
        "secrets",
        ("secrets.guess", "Something that may be a secret", "A value beside a word such as password or token.", "Remove it if it is one. If it is an example, say so in its text, such as YOUR_PASSWORD."),
    ),
    *_rules(
        "template",
        ("template.refused", "Not in the prompt language", "Prompts of strangers are filled in by us, so the language is small.", "Use values, conditions, short loops and the listed filters."),
        ("template.undeclared", "An input that is not asked for", "The slot would stay empty on every call.", "Add the input, or correct its name."),
        waivable=False,
    ),
    *_rules(
        "template",
        ("template.unused", "An input that is not used", "Callers type something that changes nothing.", "Use it in the prompt, or remove the input."),
        ("template.unmarked", "Callers' text without a mark", "A model cannot tell where your instructions end and a caller's text begins.", "Put a label and a colon before it, or tags around it: “Text: {{ text }}”."),
        ("injection.override", "Drops instructions", "The phrase by which texts take over a model.", "Say what the model is to do; leave what came before alone."),
        ("injection.reveal", "Asks for instructions or secrets", "It gives away what others trust the app with.", "Remove the phrase."),
        ("injection.jailbreak", "A way around a model's rules", "Vendors close the accounts of those who do this.", "Remove the phrase."),
        ("injection.chat-markers", "Imitates who speaks", "It makes a model take a caller's text for instructions.", "Remove the marks; instructions have a field of their own."),
        ("injection.conceal", "Hides something from people", "An app that works behind the back of its callers is not listed.", "Remove the phrase."),
        ("injection.exfiltrate", "Carries texts to an address", "What callers type leaves by a way that nobody agreed to.", "Remove it. An app that needs an address of its own is an HTTP app."),
        ("injection.reviewer", "Speaks to the check", "Only who has something to hide asks the check for a favor.", "Remove the phrase."),
    ),
    *_rules(
        "code",
        ("archive.unreadable", "Not a zip", "What cannot be read cannot be checked.", "Hand in a plain zip file."),
        ("archive.size", "Too large", "An archive may have 5 MiB, unpacked 30 MiB, a file 5 MiB.", "Leave out data and installed packages."),
        ("archive.files", "Too many files", "An archive may have 500 files.", "Leave out installed packages and build results."),
        ("archive.bomb", "Becomes many times larger", "Small files that unpack to huge ones stop whoever opens them.", "Leave the file out."),
        ("archive.path", "A path that leads elsewhere", "Unpacking it would write outside its folder.", "Zip the folder itself, with plain relative paths."),
        ("archive.link", "A link", "It leads out of the archive.", "Hand in the file instead."),
        ("archive.encrypted", "An encrypted file", "What cannot be read cannot be checked.", "Hand it in without a password."),
        ("archive.nested", "An archive in the archive", "No check looks into it.", "Hand in its files."),
        ("archive.binary", "A compiled program", "No check looks into it.", "Hand in the source."),
        ("code.unparsable", "Python that cannot be read", "A file that no check can read may do anything.", "Correct its syntax, or leave it out."),
        ("code.pickle", "A pickle", "Opening one runs whatever is in it.", "Use JSON, safetensors or another format that holds data alone."),
        ("code.pickle-call", "A pickle that calls something", "It runs a command as soon as it is opened.", "Leave the file out, and find out where it came from."),
        ("code.fetch-and-run", "Fetches code and runs it", "What runs tomorrow is not what was checked today.", "Ship the code in the archive."),
        ("code.metadata-address", "Asks for the machine's credentials", "That address hands out the keys of the cloud account.", "Remove the address."),
        ("code.reverse-shell", "Opens a shell to elsewhere", "It hands the machine over.", "Remove it."),
        ("code.key-theft", "Reads keys of whoever runs it", "An app needs its own key only.", "Read one named variable of the environment."),
        waivable=False,
    ),
    *(
        Rule(f"bandit.{test_id}", "code", title, why, fix) for test_id, (title, why, fix) in BANDIT.items()
    ),
    *_rules(
        "code",
        ("semgrep.js-shell", "Starts programs", "An app has no business with a shell or other programs.", "Do it in the language itself."),
        ("semgrep.js-eval", "Runs a text as code", "What a caller or a model writes would run.", "Parse data with JSON.parse."),
        ("semgrep.js-no-tls", "Takes any certificate", "Whoever stands between can read and change everything.", "Leave the check of certificates on."),
        ("semgrep.py-dynamic-import", "Loads modules by computed names", "What is loaded is not what was checked.", "Write the import."),
        ("semgrep.py-environment", "Reads the whole environment", "Keys of whoever runs it are in there.", "Read one named variable."),
    ),
    *_rules(
        "dependencies",
        ("dependencies.vulnerable", "A version with a known flaw", "The flaw is public, and so is how to use it.", "Take the fixed version that the finding names."),
        ("dependencies.unpinned", "Not pinned", "What is installed tomorrow is not what was checked.", "Write name==version, best with hashes."),
        ("dependencies.elsewhere", "From elsewhere than the package index", "Nobody publishes advisories for it, and it may change under the same name.", "Take a released package."),
        ("dependencies.include", "Another file is read", "Only files in the archive are looked at.", "Nothing, if the file is in the archive."),
        ("dependencies.unreadable", "Not a requirement", "What cannot be read cannot be looked up.", "Write name==version."),
        ("dependencies.none", "Nothing is needed", "No requirements file and no project table was found.", "Nothing, if the code needs only Python."),
        ("dependencies.old-advisories", "Advisories are old", "Flaws that were published since are not known here.", "An operator imports newer ones; then run the check again."),
    ),
    *_rules(
        "endpoint",
        ("endpoint.private", "Leads to an address that apps may not reach", "Private, link-local and metadata addresses lead into networks of others.", "Use a public https address."),
        ("endpoint.invalid", "Not an address that is called", "Two programs could read it in two ways, or it has no encryption.", "Use an https address with a plain host name."),
        waivable=False,
    ),
    *_rules(
        "behavior",
        ("behavior.missed", "Answers are not as expected", "At least half of the answers to an example do not keep what you expect.", "Change the prompt or the model, or the expectation."),
        ("behavior.sometimes", "Answers are sometimes not as expected", "Fewer than half of the answers miss it.", "Make the prompt firmer, or expect less."),
        ("behavior.no-answer", "No answer", "Every call with this example failed.", "See the calls for the reason."),
    ),
    *_rules(
        "sustainability",
        ("margin.negative", "The platform loses money", "At the calls you expect, the price does not cover cost and your share.", "Raise the price per call, the markup or the fee, or use a smaller model."),
        ("margin.thin", "Little room", "Less is left of the price than the operator wants, or at the upper end of the measured cost the platform loses money.", "Leave more room between price and cost."),
        ("margin.other-plan", "Another plan loses money", "At the calls you expect, a plan that is offered beside this one does not cover cost and your share.", "Lower its limit of calls, or ask an operator to take it off the offer."),
    ),
]  # fmt: skip
RULES = {one.id: one for one in _ALL}
