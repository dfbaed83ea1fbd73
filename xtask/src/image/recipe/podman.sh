# The layer with Podman, installed as a machine without an engine would do it.
inside_layer podman sh -euc '
    apt-get -qq -y --no-install-recommends install podman runc catatonit >/dev/null
    apt-get -qq clean
    ! command -v crun
'
