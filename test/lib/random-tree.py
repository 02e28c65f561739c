"""A directory tree with every kind of file a layer can hold: random-tree.py DIRECTORY SEED [change].

With `change` an existing tree of this kind is changed at random: files removed, replaced by other kinds, added.
The same seed makes the same tree but for the inode numbers.
"""
import os
import random
import stat
import struct
import sys

root, seed = os.fsencode(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
OWNERS = [0, 0, 0, 1, 33, 1000, 65534, 70000, 4294967290]


def name():
    kind = rng.random()
    if kind < 0.6:
        return b"%s%d" % (rng.choice([b"file", b"Lib", b"x.", b"-dash", b"a b"]), rng.randrange(10**6))
    if kind < 0.7:
        return bytes(rng.choice([c for c in range(1, 256) if c != 47]) for _ in range(rng.randint(3, 40)))
    if kind < 0.8:
        return (b"n%d" % rng.randrange(10**6)) + b"l" * rng.randint(90, 200)
    return ("%s%d" % (rng.choice(["é", "日本", "ünï", "\N{GRINNING FACE}"]), rng.randrange(10**6))).encode()


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def decorate(path, is_link=False):
    os.chown(path, rng.choice(OWNERS), rng.choice(OWNERS), follow_symlinks=False)
    if not is_link:
        os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o6711, 0o000, 0o7777]))
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            for _ in range(rng.choice([0, 0, 0, 1, 2])):
                os.setxattr(path, b"user.x%d" % rng.randrange(100), rng.randbytes(rng.choice([1, 30, 900])))
            if rng.random() < 0.1:
                entries = [(1, 7, 0xFFFFFFFF), (2, 5, 1000), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF)]
                os.setxattr(path, b"system.posix_acl_access", acl(*entries))
            if stat.S_ISDIR(mode) and rng.random() < 0.15:
                entries = [(1, 7, 0xFFFFFFFF), (2, 7, 33), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 5, 0xFFFFFFFF)]
                os.setxattr(path, b"system.posix_acl_default", acl(*entries))
        if stat.S_ISREG(mode) and rng.random() < 0.05:
            os.setxattr(path, b"security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
        if stat.S_ISREG(mode) and mode & 0o6000:
            os.chmod(path, stat.S_IMODE(mode))
    touch(path)


def touch(path):
    ns = rng.choice([0, 1, 999999999, rng.randrange(2 * 10**18), 1600000000 * 10**9, -1500000000])
    os.utime(path, ns=(ns, ns), follow_symlinks=False)


def regular(path, files):
    with open(path, "wb") as file:
        if rng.random() < 0.1:
            for _ in range(rng.randint(0, 6)):
                file.seek(rng.randrange(1, 40) * 16384)
                file.write(rng.randbytes(rng.choice([1, 700, 9000])))
            file.truncate(rng.randrange(1, 50) * 20000)
        else:
            file.write(rng.randbytes(rng.choice([0, 1, 511, 512, 513, 3000, 70000, 1200000])))
    files.append(path)


def make(path, files):
    kind = rng.random()
    if kind < 0.55:
        regular(path, files)
    elif kind < 0.7:
        target = name() if rng.random() < 0.8 else b"/" + b"t" * rng.randint(1, 2000)
        os.symlink(rng.choice([b"../", b"", b"./a/"]) + target, path)
        return decorate(path, True)
    elif kind < 0.85 and files:
        os.link(rng.choice(files), path)
        return
    elif kind < 0.9:
        os.mkfifo(path)
    elif kind < 0.95:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(rng.choice([1, 5, 240, 4000]), rng.choice([3, 255, 256, 70000])))
    else:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(rng.choice([7, 259]), rng.choice([0, 300])))
    decorate(path)


def fill(directory, depth, files, directories):
    for _ in range(rng.randint(2, 7)):
        path = directory + b"/" + name()
        if os.path.lexists(path):
            continue
        if depth > 0 and rng.random() < 0.4:
            os.mkdir(path)
            directories.append(path)
            fill(path, depth - 1, files, directories)
        else:
            make(path, files)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        for child in os.listdir(path):
            remove(path + b"/" + child)
        os.rmdir(path)
    else:
        os.unlink(path)


def change():
    everything = sorted(os.path.join(at, child) for at, below, files in os.walk(root) for child in below + files)
    made = []
    for path in everything:
        if not os.path.lexists(path):
            continue
        what = rng.random()
        if what < 0.1:
            remove(path)
            made = [path for path in made if os.path.lexists(path)]
        elif what < 0.16:
            remove(path)
            made = [path for path in made if os.path.lexists(path)]
            if rng.random() < 0.5:
                os.mkdir(path)
                fill(path, 1, made, [])
            else:
                make(path, made)
        elif what < 0.2 and os.path.isdir(path) and not os.path.islink(path):
            fill(path, 1, made, [])
    fill(root, 2, made, [])


if sys.argv[3:] == ["change"]:
    change()
else:
    os.mkdir(root)
    files, directories = [], [root]
    fill(root, 4, files, directories)
    # Last, because whatever is made in a directory changes its times; a default ACL would be everybody's.
    for directory in reversed(directories):
        decorate(directory)
