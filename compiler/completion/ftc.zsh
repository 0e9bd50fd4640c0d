#compdef ftc
# Completion of ftc in zsh. Made by `ftc completion zsh`.
_ftc_completion() {
    local kind value help
    local -a plain described folders files unfinished
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            path) if [[ $value == */ ]]; then folders+=("$value"); else files+=("$value"); fi ;;
            open) unfinished+=("$value") ;;
            plain) if [[ -n $help ]]; then described+=("${value//:/\\:}:$help"); else plain+=("$value"); fi ;;
        esac
    done < <(env FTC_LINE="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" _FTC_COMPLETE=zsh_complete $words[1] 2> /dev/null)
    (( $#described )) && _describe -V ftc described
    (( $#plain )) && compadd -V ftc-plain -a plain
    (( $#unfinished )) && compadd -V ftc-unfinished -S '' -a unfinished
    (( $#files )) && compadd -V ftc-files -a files
    (( $#folders )) && compadd -V ftc-folders -S '' -a folders
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _ftc_completion "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _ftc_completion ftc
fi
