;;; Runs in `emacs --batch', in the folder of a project. -*- lexical-binding: t -*-
;; With RACEFREE_FILE: sees the finding in it through eglot and flymake, applies the action that RACEFREE_ACTION names, sees the finding vanish, and
;; leaves with 0.  With RACEFREE_FILES: opens them all, and lists what is shown.

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

(defun racefree-open (file)
  "Visits FILE and waits for its diagnostics."
  (let ((folder default-directory))
    (find-file file)
    (setq-local default-directory folder)
    (racefree-elixir-mode)
    (unless (eglot-current-server)
      (apply #'eglot--connect (eglot--guess-contact)))
    (unless (eglot-managed-p)
      (eglot--managed-mode 1))
    (flymake-mode 1)
    (flymake-start)
    (racefree-await "a diagnostic" (lambda () (flymake-diagnostics)))))

(defun racefree-place (at)
  "AT as a person counts: lines and characters from 1."
  (save-excursion
    (goto-char at)
    (format "%d:%d" (line-number-at-pos) (1+ (- at (line-beginning-position))))))

(defun racefree-list (file)
  (racefree-open file)
  (dolist (found (flymake-diagnostics))
    (let ((text (flymake-diagnostic-text found))
          (level (cdr (assq (flymake-diagnostic-type found)
                            '((eglot-error . "error") (eglot-warning . "warning") (eglot-note . "note"))))))
      (message "finding %s %s %s-%s %s"
               level
               (and (string-match "\\`racefree \\[\\(.*?\\)\\]" text) (match-string 1 text))
               (racefree-place (flymake-diagnostic-beg found))
               (racefree-place (flymake-diagnostic-end found))
               file))))

(defun racefree-edit (file)
  (racefree-open file)
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
    (save-buffer)))

(let ((files (getenv "RACEFREE_FILES"))
      (folder default-directory))
  (if files
      (dolist (file (split-string files "\n"))
        (let ((default-directory folder))
          (racefree-list file)))
    (racefree-edit (getenv "RACEFREE_FILE")))
  (eglot-shutdown (eglot--current-server-or-lose)))
