"""One activity a step: read the message, let imagery/ work, return a message.

Activities run at least once: each looks for its result before it works. They return typed rejections and
raise only what a retry may cure.
"""
