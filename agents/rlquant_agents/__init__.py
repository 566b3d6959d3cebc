"""Searchers over quantization problems, and the one call that runs them."""

# Loaded before the function of that name is bound: a folder that is loaded later takes the name.
import rlquant_agents.searchers  # noqa: F401
from rlquant_agents.api import search, search_problem
from rlquant_agents.reporting import write_report
from rlquant_agents.runs.run_folder import RunFolder
from rlquant_agents.search.callbacks import Callbacks, ProgressBar, TensorBoardLog
from rlquant_agents.search.loggers import MlflowLog, WandbLog, make_logger
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.searcher import Searcher, make_searcher, register_searcher, searchers
from rlquant_agents.search.session import Callback, Session
from rlquant_agents.search.training_log import TensorBoardTrainingLog
from rlquant_agents.search.training_progress import TrainingProgressBar

__all__ = [
    "Callback",
    "Callbacks",
    "Evaluation",
    "MlflowLog",
    "ProgressBar",
    "RunFolder",
    "SearchResult",
    "Searcher",
    "Session",
    "TensorBoardLog",
    "TensorBoardTrainingLog",
    "TrainingProgressBar",
    "WandbLog",
    "make_logger",
    "make_searcher",
    "register_searcher",
    "search",
    "search_problem",
    "searchers",
    "write_report",
]
