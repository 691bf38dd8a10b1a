#!/bin/sh
# boot.sh ROOT CONSOLE INIT...: becomes INIT, as PID 1 of a system of its own. box.py starts it in fresh
# namespaces; it lays the mounts that an init expects over ROOT, makes it the root and executes INIT.
# Descriptor 3 gets one line when nothing can go wrong any more.
set -eu
root=$1 console=$2
shift 2

mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
  : > "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
: > dev/console
mount --bind "$console" dev/console
hostname box

mkdir -p .outside
pivot_root . .outside
umount -l /.outside
rmdir /.outside
# On the console from here, so that nothing of the outside stays open but descriptor 3.
exec </dev/null >>/dev/console 2>&1
echo up >&3
exec 3>&-
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb "$@"
