"""What a file is, from its name: without I/O, and the same on every computer.

    app.mjs   ──▶ text/javascript       README      ──▶ text/plain
    a.tar.gz  ──▶ application/gzip      what.ever   ──▶ application/octet-stream

What people share and what the web is made of; source code and settings are text, so that browsers show them rather than
save them.  Neither the system's tables nor those of some version of Python are asked.
Source: RFC 9110, section 8.3; RFC 9239; the IANA registry of media types.
"""

from __future__ import annotations

from functools import lru_cache

UNKNOWN = "application/octet-stream"

_ENDINGS = {
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/gpx+xml": "gpx",
    "application/gzip": "gz tgz",
    "application/java-archive": "jar",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc dot",
    "application/pdf": "pdf",
    "application/postscript": "ps eps ai",
    "application/rtf": "rtf",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.apple.mpegurl": "m3u8 m3u",
    "application/vnd.debian.binary-package": "deb",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.rar": "rar",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2",
    "application/x-iso9660-image": "iso",
    "application/x-rpm": "rpm",
    "application/x-tar": "tar",
    "application/x-xz": "xz txz",
    "application/zip": "zip",
    "application/zstd": "zst",
    "application/atom+xml": "atom",
    "application/rss+xml": "rss",
    "application/xhtml+xml": "xhtml",
    "application/xml": "xml xsl rdf",
    "audio/aac": "aac",
    "audio/aiff": "aif aiff",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg oga",
    "audio/opus": "opus",
    "audio/wav": "wav",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/apng": "apng",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic heif",
    "image/jpeg": "jpg jpeg",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif tiff",
    "image/vnd.microsoft.icon": "ico",
    "image/webp": "webp",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/stl": "stl",
    "text/calendar": "ics",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "html htm",
    "text/javascript": "js mjs cjs",
    "text/markdown": "md markdown",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/plain": "txt text log asc ini conf cfg toml yaml yml rst adoc tex diff patch srt nfo properties lock sql "
    "py pyi c h cc cpp hpp cs d go hs java kt lua m pl pm php r rb rs scala sh bash zsh fish bat ps1 swift ts tsx jsx "
    "vue svelte scss sass less vim el lisp clj erl ex exs jl nim zig v sv vhd asm s cmake mk gradle tf proto graphql "
    "gitignore gitattributes editorconfig dockerignore",
    "message/rfc822": "eml",
    "video/3gpp": "3gp",
    "video/mp2t": "m2ts mts",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "mpeg mpg",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}
_TYPES = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}

# Names without an ending that are known everywhere to be text.
_TEXTS = (
    "readme license licence copying authors contributors changelog changes news notice install todo makefile "
    "dockerfile vagrantfile gemfile rakefile procfile jenkinsfile sha256sums sha512sums md5sums"
)
_TEXT_NAMES = frozenset(_TEXTS.split())

# Not text/*, and worth the while of compressing all the same.
_COMPRESSIBLE = (
    "application/json application/wasm application/xml application/rtf application/x-tar font/otf font/ttf "
    "image/vnd.microsoft.icon image/bmp model/gltf-binary model/stl application/vnd.apple.mpegurl"
)


def media_type(name: str) -> str:
    """The media type of a file of this name, without parameters."""
    _, dot, ending = name.rpartition(".")
    if not dot:
        return "text/plain" if name.lower() in _TEXT_NAMES else UNKNOWN
    return _TYPES.get(ending.lower(), UNKNOWN)


def is_text(kind: str) -> bool:
    """Whether the type needs a charset: not those that have their own way to tell it."""
    return kind.startswith("text/")


@lru_cache(maxsize=256)
def is_compressible(kind: str) -> bool:
    """Whether somebody may have laid a compressed sibling beside such a file."""
    return kind.startswith("text/") or kind.endswith(("+json", "+xml")) or kind in _COMPRESSIBLE.split()


def is_active(kind: str) -> bool:
    """Whether a browser runs what is in it: pages, and every kind of XML, which may bring scripts or a style sheet."""
    return kind in ("text/html", "text/xml", "application/xml") or kind.endswith("+xml")


def is_markdown(name: str) -> bool:
    """Whether a file of this name can be shown as a page."""
    return media_type(name) == "text/markdown"
