"""Who a certificate speaks of, as servers log it and tell it to applications."""

from cryptography import x509


def subject(certificate_der: bytes) -> str:
    """Return the subject of a certificate (DER) as RFC 4514 writes it, most specific part first: "CN=a,O=b".

    Control characters come escaped, so that the text is safe in a log. Raises ValueError for what is no certificate.
    """
    name = x509.load_der_x509_certificate(certificate_der).subject.rfc4514_string()
    return "".join(char if char.isprintable() else f"\\{char.encode().hex(chr(92))}" for char in name)
