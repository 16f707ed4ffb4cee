# Completion of ev3 for bash: the program knows its commands and options.
source <(ev3 completion bash)
