"""Searchers over quantization problems, and the one call that runs them."""

from rlquant_agents.api import search, search_problem
from rlquant_agents.callbacks import Callbacks, ProgressBar, TensorBoardLog
from rlquant_agents.reporting import write_report
from rlquant_agents.result import Evaluation, SearchResult
from rlquant_agents.run_folder import RunFolder
from rlquant_agents.searcher import Searcher, make_searcher, register_searcher, searchers
from rlquant_agents.session import Callback, Session
from rlquant_agents.training_log import TensorBoardTrainingLog
from rlquant_agents.training_progress import TrainingProgressBar

__all__ = [
    "Callback",
    "Callbacks",
    "Evaluation",
    "ProgressBar",
    "RunFolder",
    "SearchResult",
    "Searcher",
    "Session",
    "TensorBoardLog",
    "TensorBoardTrainingLog",
    "TrainingProgressBar",
    "make_searcher",
    "register_searcher",
    "search",
    "search_problem",
    "searchers",
    "write_report",
]
