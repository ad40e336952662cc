#!/bin/bash
# Stands in for the broker's program in tests/durability: called with `-c FILE`, it boots an
# emulated ARM machine whose service is midge with that configuration. The listener's port is the
# machine's 1883 on this host; persistence_location holds the image of the machine's disk (ext4),
# made when it is not there. The machine's console, with the broker's log, comes out of stderr.
#
# This process becomes qemu: killing it is a power cut. The machine's kernel vanishes with all it
# had not written; what it gave to its disk stays.
#
#   MACHINE=aarch64 cross/boot/machine.sh -c FILE     a Cortex-A53; see cross/boot/image.sh
#   MACHINE=armv7   ...                               a Cortex-A7; armv5te runs on that as well
set -euo pipefail
[ "${1:-}" = -c ] || { echo "usage: machine.sh -c FILE" >&2; exit 1; }
here=$(cd "$(dirname "$0")/../.." && pwd)/target/cross/boot/$MACHINE
port=$(sed -n 's/^listener \([0-9]*\).*/\1/p' "$2")
folder=$(sed -n 's/^persistence_location //p' "$2")
scratch=$folder/boot
disk=$folder/disk

rm -rf "$scratch"
mkdir -p "$scratch/etc"
sed -e 's/^listener .*/listener 1883/' \
    -e 's,^\(persistence_location\) .*,\1 /data/midge/,' "$2" >"$scratch/etc/midge.conf"
# The kernel unpacks one archive behind the other.
(cat "$here/initramfs" &&
    cd "$scratch" && find etc | cpio -o -H newc --owner 0:0 --quiet | gzip -1) >"$folder/initramfs"
if [ ! -e "$disk" ]; then
    truncate -s 512M "$disk.new"
    /sbin/mkfs.ext4 -q -F "$disk.new"
    mv "$disk.new" "$disk"
fi

case $MACHINE in
    aarch64) program=qemu-system-aarch64 cpu=cortex-a53 bus=pci rom=,romfile= ;;
    *) program=qemu-system-arm cpu=cortex-a7 bus=device rom= ;;
esac
exec "$program" -machine virt -cpu $cpu -smp 1 -m 256 -nodefaults -display none -no-reboot \
    -kernel "$here/kernel" -initrd "$folder/initramfs" -append 'console=ttyAMA0 quiet panic=1' \
    -chardev stdio,id=console -serial chardev:console \
    -drive "file=$disk,format=raw,if=none,id=disk,cache=writeback" \
    -device virtio-blk-$bus,drive=disk \
    -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:1883" \
    -device virtio-net-$bus,netdev=net$rom >&2
