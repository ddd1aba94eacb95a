#!/usr/bin/env bash
# Two network namespaces as two hosts of one rank each, joined by a link of a given speed: what docs/scaling.md was measured with. Needs root.
#   bench/two_hosts.sh RATE PROGRAM ARGUMENTS...     RATE as tc says it: 1gbit, 10gbit; or full
# They share this machine's files, as nodes share a file system. PROGRAM runs under Open MPI over TCP.
set -eu
[ $# -ge 2 ] || { sed -n 2,5p "$0" >&2; exit 2; }
rate=$1
shift
work=$(mktemp -d)
tag=hg$$
clean() {
    for i in 1 2; do ip netns del "$tag-$i" 2>/dev/null || true; rm -rf "/etc/netns/$tag-$i"; done
    rm -rf "$work"
}
trap clean EXIT
for i in 1 2; do
    ip netns add "$tag-$i"
    mkdir -p "/etc/netns/$tag-$i"
    printf '127.0.0.1 localhost\n10.77.0.1 %s-1\n10.77.0.2 %s-2\n' "$tag" "$tag" >"/etc/netns/$tag-$i/hosts"
    ip -n "$tag-$i" link set lo up
done
ip link add "$tag-a" netns "$tag-1" type veth peer name "$tag-b" netns "$tag-2"
for end in 1:a 2:b; do
    ip -n "$tag-${end%:*}" addr add "10.77.0.${end%:*}/24" dev "$tag-${end#*:}"
    ip -n "$tag-${end%:*}" link set "$tag-${end#*:}" up
    [ "$rate" = full ] || ip netns exec "$tag-${end%:*}" tc qdisc add dev "$tag-${end#*:}" root tbf rate "$rate" burst 1mb latency 50ms
done
# What Open MPI calls instead of ssh: host, then the command's words.
cat >"$work/agent" <<'END'
#!/bin/sh
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0"; exec sh -c "$1"' "$host" "$*"
END
chmod +x "$work/agent"
"$work/agent" "$tag-1" exec mpirun.openmpi --allow-run-as-root --bind-to none -np 2 --host "$tag-1,$tag-2" \
    --mca plm_rsh_agent "$work/agent" --mca pml ob1 --mca btl tcp,self \
    --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 "$@"
