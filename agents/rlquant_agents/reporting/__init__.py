"""The report of a search: one page that tells all of it, made from the files in its folder.

`run_files.py` reads the folder; `problem_facts.py` and `file_parts.py` are what only the problem
knew, written when the search ended; `neighbours.py` says what one option more or less would have
cost; `page.py` and `text.py` tell it, as HTML and for the terminal.
"""

from rlquant_agents.reporting.report import Report, make_report, write_report

__all__ = ["Report", "make_report", "write_report"]
