"""What kind of fault an error is, as retries, keepers and streams ask. Pure: no clock, no socket, no httpx."""

import ssl

from listenkey.errors import ApiError, ListenKeyError, ServerError, TransportError, Unauthorized

# Parts of the errors' texts by which the check tells whose fault an error is.
GOES_ON = "The stream goes on trying."
NO_WAY = "No way to "  # a proxy refused


def is_refusal(error: ListenKeyError) -> bool:
    """Whether the API key, this address or a proxy's login is refused: repeating the call soon makes matters worse."""
    return isinstance(error, Unauthorized) or (type(error) is ApiError and error.status in (401, 403, 407))


def worth_repeating(error: ListenKeyError) -> bool:
    """Whether the same call may go well a moment later."""
    return isinstance(error, ServerError) or (isinstance(error, TransportError) and not is_certificate_fault(error))


def is_certificate_fault(error: BaseException | None) -> bool:
    """Whether the certificate of the other side ended a call. Only a person can mend a certificate."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__
    return error is not None


def system_error(error: BaseException | None) -> OSError | None:
    """Find the error of the operating system or the TLS library, behind a library's error. Its text quotes nothing."""
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__ or error.__context__
    return error
