# Completion of ftc in fish. Made by `ftc completion fish`.
function __ftc_completion
    env FTC_LINE=(commandline -cp | string collect) _FTC_COMPLETE=fish_complete ftc 2>/dev/null
end
complete --command ftc --no-files --keep-order --arguments "(__ftc_completion)"
