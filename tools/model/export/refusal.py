"""Why a checkpoint cannot be exported: told in one line, without a traceback, with what can be done."""


class Refused(Exception):
    """The message is for the person who asked for the export."""
