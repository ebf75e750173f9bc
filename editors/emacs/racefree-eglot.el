;;; racefree-eglot.el --- Racefree as the language server of Elixir buffers -*- lexical-binding: t -*-

;; Eglot runs one server for a buffer.  Where another one serves your Elixir code already, choose Racefree for a look with
;; `C-u M-x eglot', or have both with a multiplexer such as lspx.

;;; Code:

(require 'eglot)

(add-to-list 'eglot-server-programs
             '((elixir-mode elixir-ts-mode) . ("racefree" "lsp")))

(provide 'racefree-eglot)
;;; racefree-eglot.el ends here
