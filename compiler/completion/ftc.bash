# Completion of ftc in bash. Made by `ftc completion bash`.
_ftc_completion() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        [[ -n $line ]] || continue
        COMPREPLY+=("${line#*,}")
        case ${line%%,*} in
            path) compopt -o filenames 2> /dev/null ;;
            open) compopt -o nospace 2> /dev/null ;;
        esac
    done < <(env FTC_LINE="${COMP_LINE:0:COMP_POINT}" FTC_BREAKS="$COMP_WORDBREAKS" _FTC_COMPLETE=bash_complete \
        "$1" 2> /dev/null)
}
complete -o nosort -F _ftc_completion ftc 2> /dev/null || complete -F _ftc_completion ftc
