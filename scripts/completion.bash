# shellcheck shell=bash source=/dev/null
# Completion of ev3 for bash: the program itself knows its commands and options.
source <(ev3 completion bash)
