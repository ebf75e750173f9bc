;;; Runs in `emacs --batch', in the folder of a project. -*- lexical-binding: t -*-
;; Sees the finding through eglot and flymake, applies the action that RACEFREE_ACTION names, sees the finding vanish, and leaves with 0.

(require 'package)
(package-initialize)
(require 'eglot)
(require 'flymake)
(require 'cl-lib)

(defconst racefree-seconds-max 120)

(defun racefree-await (what condition)
  (let ((end (time-add nil racefree-seconds-max)))
    (while (not (funcall condition))
      (when (time-less-p end nil)
        (error "waited in vain: %s" what))
      (accept-process-output nil 0.05))))

(define-derived-mode racefree-elixir-mode prog-mode "Elixir")
(add-to-list 'eglot-server-programs
             `(racefree-elixir-mode . (,(getenv "RACEFREE_BINARY") "lsp")))
(setq eglot-sync-connect t
      eglot-connect-timeout racefree-seconds-max
      eglot-confirm-server-initiated-edits nil
      eglot-send-changes-idle-time 0
      make-backup-files nil
      project-find-functions (list (lambda (_folder) (cons 'transient default-directory))))

(let ((folder default-directory))
  (find-file (getenv "RACEFREE_FILE"))
  (setq-local default-directory folder)
  (racefree-elixir-mode)
  (apply #'eglot--connect (eglot--guess-contact))
  (eglot--managed-mode 1)
  (flymake-mode 1)
  (flymake-start)
  (racefree-await "a diagnostic" (lambda () (flymake-diagnostics)))
  (let ((found (car (flymake-diagnostics))))
    (message "diagnostic %s line %d"
             (car (split-string (flymake-diagnostic-text found) "\n"))
             (line-number-at-pos (flymake-diagnostic-beg found)))
    (goto-char (flymake-diagnostic-beg found))
    (let* ((params (list :textDocument (eglot--TextDocumentIdentifier)
                         :range (list :start (eglot--pos-to-lsp-position) :end (eglot--pos-to-lsp-position))
                         :context '(:diagnostics [])))
           (actions (jsonrpc-request (eglot--current-server-or-lose) :textDocument/codeAction params)))
      (cl-loop for action across actions do
               (message "action %s" (plist-get action :title))
               (when (equal (plist-get action :title) (getenv "RACEFREE_ACTION"))
                 (eglot--apply-workspace-edit (plist-get action :edit)))))
    (eglot--signal-textDocument/didChange)
    (racefree-await "that the diagnostic vanishes" (lambda () (not (flymake-diagnostics))))
    (save-buffer)
    (eglot-shutdown (eglot--current-server-or-lose))))
