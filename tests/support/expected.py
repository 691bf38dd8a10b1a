"""What a reply of the current metadata service looks like: its header names in order, its 404 page, its versions."""

from .wire import TTL_HEADER, Answer

PAGE_404 = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\n'
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
    '\t\t "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
    " <head>\n  <title>404 - Not Found</title>\n </head>\n"
    " <body>\n  <h1>404 - Not Found</h1>\n </body>\n</html>\n"
)
VERSIONS = (
    "1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10 2007-12-15 2008-02-01 2008-09-01 2009-04-04 2011-01-01 2011-05-01 "
    "2012-01-12 2014-02-25 2014-11-05 2015-10-20 2016-04-19 2016-06-30 2016-09-02 2018-03-28 2018-08-17 2018-09-24 "
    "2019-10-01 2020-10-27 2021-01-03 2021-03-23 2021-07-15 2022-09-24 2024-04-11 2025-10-04 2026-04-15 latest"
).split()

VALUE = ["Content-Type", "Accept-Ranges", "Last-Modified", "Content-Length", "Date", "Server", "Connection"]
EMPTY = ["Content-Length", "Date", "Server", "Connection", "Content-Type"]
NOT_FOUND = ["Content-Type", "Content-Length", "Date", "Server", "Connection"]


def header_names(answer: Answer, kept_alive: bool, token_accepted: bool, token_granted: bool) -> list[str]:
    """The names a reply of this status must have, in order."""
    if token_granted:
        names = [TTL_HEADER, *EMPTY]
    elif answer.get("Allow") is not None:
        names = ["Allow", *EMPTY]
    elif answer.status == 200:
        names = VALUE
    elif answer.status == 404:
        names = NOT_FOUND
    else:
        names = EMPTY
    if token_accepted and not token_granted:
        names = [TTL_HEADER, *names]
    return [name for name in names if name != "Connection" or not kept_alive]
