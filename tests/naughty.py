"""Strings that break things elsewhere, each a line with what it is known to break.

Our own list: shells, templates, databases, terminals, spreadsheets, parsers and people.
"""

from __future__ import annotations

NAUGHTY: tuple[str, ...] = (
    # nothing, and what looks like nothing
    "", " ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\x00", "a\x00b",
    # words that are values somewhere
    "null", "None", "nil", "undefined", "true", "false", "True", "NaN", "nan", "Infinity", "-inf",
    "NULL", "NA", "N/A", "(null)", "yes", "no", "on", "off",
    # numbers that are not, and numbers that are other numbers
    "0", "-0", "1e999", "-1e999", "0x10", "0b1", "0o7", "1_000", "1,5", "1.2.3", "+1", ".5", "5.",
    "01", "9" * 400, "1" + "0" * 308, "4.9e-324", "9007199254740993", "1e", "--1", "\u0661\u0662",
    "\uff11\uff12", "\u00bd", "\u2155", "$1.00", "1%", "\u221e",
    # control characters, terminals and line ends
    "\x1b[2J\x1b[31m", "\x07\x08\x7f", "\x85\u2028\u2029", "a\x0bb\x0cc", "\x80\x9f", "\r", "\x1a",
    # text that reads otherwise than it is
    "\u202egnp.exe", "\u2066a\u2069\u2066b\u2069", "\u200e\u200f", "a\u0301\u0327\u0300",
    "Z\u0351\u036b\u0343a\u0328\u0318l\u0323\u034e", "\u00e9", "e\u0301", "\u212b", "\ufb01",
    "\u00df", "\u0130i", "\u0131I", "p\u0430ypal", "\U0001d4d7", "\ufdfd", "\ufffd",
    "\ufffe", "\uffff",
    # pictures made of several
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3ff",
    "\u2764\ufe0f", "\U0010ffff", "\U000e0001\U000e0041",
    # other ways to write, some from right to left
    "\u4e2d\u6587", "\u65e5\u672c\u8a9e", "\ud55c\uad6d\uc5b4", "\u0627\u0644\u0639\u0631",
    "\u05e2\u05d1\u05e8", "\u0e01\u0e33\u0e41", "\u0928\u092e\u0938\u094d", "\u1e9e",
    # markup and templates
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;&#0;&", "]]>", "<!--", "-->",
    "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%{7*7}", "${jndi:ldap://a/b}", "{0.__class__}",
    "%s%n%x", "%(a)s", "{}", "{!r}",
    # databases and shells
    "' OR '1'='1", "'; DROP TABLE clients; --", '"', "`id`", "$(id)", "; id", "| id", "&& id",
    "\\", "\\\\", "\\x41", "\\u0000", "\\ud800", "../../etc/passwd", "..\\..\\boot.ini",
    "/dev/null", "CON", "file:///etc/passwd", "C:\\", "~root", "*", "?", "[a-z]*",
    # spreadsheets and logs
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\nERROR forged",
    "a\r\nSet-Cookie: b",
    # JSON and JSON pointers
    "{", "}", "[", "]", '{"a":1}', "[1]", '","', "/", "~", "~0", "~1", "a/b", "#/instances/0",
    "$ref", "__proto__", "constructor", "toString", "hasOwnProperty", "__class__", "__reduce__",
    "__init__",
    # pickles and code
    "cos\nsystem\n(S'id'\ntR.", "gASV", "__import__('os').system('id')", "eval('1')", "lambda: 0",
    # long
    "a" * 4095, "\u00e9" * 2047, "\U0001f600" * 1023, "A" * 1000 + "\x00", "(" * 500, "a a " * 500,
)  # fmt: skip
