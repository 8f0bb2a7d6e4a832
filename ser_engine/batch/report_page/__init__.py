"""The files of which a report is made."""
