"""Pages of a training run and of one track. The only package that imports matplotlib."""

import logging

# matplotlib warns that it makes a temporary folder where no home can be written, as in containers.
logging.getLogger("matplotlib").addFilter(lambda record: record.levelno >= logging.ERROR)
