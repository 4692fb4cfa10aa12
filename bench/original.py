"""The original hardline 0.0.16, where it can run; written last."""

from contestants import Contestant


class Original(Contestant):
    name = "original"
    optional = True
