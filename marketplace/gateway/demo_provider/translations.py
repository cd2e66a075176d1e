"""Word-by-word translation with a small glossary: enough to see that a text came through, not more."""

import re

_ENGLISH = """
    the a and or not is are was have has with without for from to in on of we you they it this that please
    thank thanks hello good morning evening day week month year today tomorrow yesterday customer order
    invoice price money payment delivery product company team meeting report question answer problem help
    time new old big small fast late early open closed free first last more less very here there water
    bread coffee house street city train ticket hotel room restaurant food can will must want need send
    receive buy pay call write read see know go come yes no my your our at by be do i
"""
_GERMAN = """
    die ein und oder nicht ist sind war haben hat mit ohne für von zu in auf von wir Sie sie es dies das
    bitte danke danke hallo guten Morgen Abend Tag Woche Monat Jahr heute morgen gestern Kunde Bestellung
    Rechnung Preis Geld Zahlung Lieferung Produkt Firma Team Besprechung Bericht Frage Antwort Problem
    Hilfe Zeit neu alt groß klein schnell spät früh offen geschlossen frei erste letzte mehr weniger sehr
    hier dort Wasser Brot Kaffee Haus Straße Stadt Zug Fahrkarte Hotel Zimmer Restaurant Essen kann wird
    muss will braucht senden erhalten kaufen zahlen anrufen schreiben lesen sehen wissen gehen kommen ja
    nein mein Ihr unser bei von sein tun ich
"""
_FRENCH = """
    le un et ou pas est sont était avoir a avec sans pour de à dans sur de nous vous ils il ce que
    s'il-vous-plaît merci merci bonjour bon matin soir jour semaine mois année aujourd'hui demain hier
    client commande facture prix argent paiement livraison produit entreprise équipe réunion rapport
    question réponse problème aide temps nouveau vieux grand petit rapide tard tôt ouvert fermé libre
    premier dernier plus moins très ici là eau pain café maison rue ville train billet hôtel chambre
    restaurant nourriture peut va doit veut besoin envoyer recevoir acheter payer appeler écrire lire voir
    savoir aller venir oui non mon votre notre à par être faire je
"""
_SPANISH = """
    el un y o no es son era tener tiene con sin para de a en en de nosotros usted ellos lo este que
    por-favor gracias gracias hola buenos días tarde día semana mes año hoy mañana ayer cliente pedido
    factura precio dinero pago entrega producto empresa equipo reunión informe pregunta respuesta problema
    ayuda tiempo nuevo viejo grande pequeño rápido tarde temprano abierto cerrado libre primero último más
    menos muy aquí allí agua pan café casa calle ciudad tren billete hotel habitación restaurante comida
    puede va debe quiere necesita enviar recibir comprar pagar llamar escribir leer ver saber ir venir sí
    no mi su nuestro en por ser hacer yo
"""
_LANGUAGES = {"german": _GERMAN, "french": _FRENCH, "spanish": _SPANISH}
GLOSSARIES = {
    language: dict(zip(_ENGLISH.split(), words.split(), strict=True))
    for language, words in _LANGUAGES.items()
}
_WORD = re.compile(r"[A-Za-z']+")


def find_language(instruction: str) -> str:
    """Find the language to translate into: the one named after "to" or "into", else any that is named."""
    lowered = instruction.casefold()
    named = re.findall(r"\b(?:in)?to (\w+)", lowered)
    return next((word for word in (*named, *lowered.split()) if word.strip(".,:") in GLOSSARIES), "").strip(
        ".,:"
    )


def translate(text: str, *, language: str) -> str:
    """Put the words that the glossary knows into another language; all others stay as they are."""
    glossary = GLOSSARIES.get(language, {})

    def one(match: re.Match[str]) -> str:
        word = match.group()
        found = glossary.get(word.lower(), word).replace("-", " ")
        return found[:1].upper() + found[1:] if word[:1].isupper() else found

    return _WORD.sub(one, text)
