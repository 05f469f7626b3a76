from .options import PARTS as PARTS
from .options import config_options as config_options
from .options import option_value as option_value
from .options import process_started as process_started
from .options import result_options as result_options
from .options import run_options as run_options
from .options import without_option as without_option
from .run import run_and_print as run_and_print
