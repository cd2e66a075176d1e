"""Say in a PDF that the XML attached to it is Factur-X, by an update appended to it.

Typst attaches the XML and writes PDF/A-3, but has no way to add to the metadata. Rewriting the file with a library costs
twice what setting it did, and stamps it with the time of day; a PDF may instead end with changed objects and a new table
of them (ISO 32000-1, 7.5.6). So the same document gives the same bytes.
"""

import re

FILE_NAME = "factur-x.xml"
_METADATA = re.compile(
    rb"(\d+) 0 obj\n<</Length \d+/Type/Metadata/Subtype/XML>>\nstream\n(.*?)\nendstream", re.DOTALL
)
_END = re.compile(rb"trailer\n<<(.*?)>>\nstartxref\n(\d+)\n%%EOF\s*\Z", re.DOTALL)
_URI = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_PROPERTIES = {
    "DocumentFileName": ("The name of the embedded XML document", FILE_NAME),
    "DocumentType": ("The type of the hybrid document in capital letters, e.g. INVOICE or ORDER", "INVOICE"),
    "Version": ("The actual version of the standard applying to the embedded XML document", "1.0"),
    "ConformanceLevel": ("The conformance level of the embedded XML document", "EN 16931"),
}


class UnknownLayout(RuntimeError):
    """The PDF is not laid out as Typst lays it out; only another version of Typst can bring this about."""


def _described() -> str:
    """Describe the four properties, as PDF/A demands of any that it does not know."""
    properties = "".join(
        f'<rdf:li rdf:parseType="Resource"><pdfaProperty:category>external</pdfaProperty:category>'
        f"<pdfaProperty:description>{words}</pdfaProperty:description><pdfaProperty:name>{name}</pdfaProperty:name>"
        f"<pdfaProperty:valueType>Text</pdfaProperty:valueType></rdf:li>"
        for name, (words, _) in _PROPERTIES.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{_URI}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )


_SCHEMAS = b"<pdfaExtension:schemas><rdf:Bag>"
_DESCRIBED = _described().encode()
_SAID = (
    f'<rdf:Description rdf:about="" xmlns:fx="{_URI}">'
    + "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (_, value) in _PROPERTIES.items())
    + "</rdf:Description>"
).encode()


def declare(pdf: bytes) -> bytes:
    """Append the metadata of Factur-X to a PDF/A-3 of Typst that has the XML attached. Raises UnknownLayout."""
    metadata, end = _METADATA.search(pdf), _END.search(pdf)
    if metadata is None or end is None or _SCHEMAS not in metadata[2]:
        raise UnknownLayout("This PDF has no metadata or table of objects of the kind that Typst writes.")
    xmp = metadata[2].replace(_SCHEMAS, _SCHEMAS + _DESCRIBED, 1)
    xmp = xmp.replace(b"</rdf:RDF>", _SAID + b"</rdf:RDF>", 1)
    number = int(metadata[1])
    body = pdf + b"\n"
    changed = b"%d 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%s\nendstream\nendobj\n" % (
        number,
        len(xmp),
        xmp,
    )
    table_at = len(body) + len(changed)
    table = b"xref\n%d 1\n%010d 00000 n\r\n" % (number, len(body))
    trailer = b"trailer\n<<%s/Prev %s>>\nstartxref\n%d\n%%%%EOF" % (end[1], end[2], table_at)
    return body + changed + table + trailer
