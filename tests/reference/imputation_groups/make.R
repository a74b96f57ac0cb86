# What mice's 2lonly.norm leaves of the effect of an incomplete variable of groups, where 28 of 40 groups have it.
# 100 studies of 40 groups of 4 rows: y ~ v + w + (1 | g) with v and w variables of groups, the effect of w 0.4; w lacks
# where the mean of y is high. Groups are of one size, so that least squares of their means are the mixed model's
# estimates. Run in this folder: Rscript make.R; takes some minutes.
suppressMessages({library(mice); library(jsonlite)})
options(warn = -1)
STUDIES <- 100; J <- 40; R <- 4; M <- 20
set.seed(31)
sets <- do.call(rbind, lapply(seq_len(STUDIES), function(s) {
  w <- rnorm(J); v <- 0.3 * w + rnorm(J)
  u <- 0.3 * v + 0.4 * w + 0.6 * rnorm(J)
  y <- round(u + matrix(rnorm(J * R), J), 3)
  gone <- runif(J) < pnorm(-0.7 + 0.8 * rowMeans(y))
  data.frame(study = s, v = round(v, 3), w = round(w, 3), gone = as.integer(gone), y)
}))
names(sets)[5:(4 + R)] <- paste0("y", seq_len(R))
write.csv(sets, "sets.csv", row.names = FALSE)

coefficient <- function(y, v, w) coef(lm(y ~ v + w))[["w"]]
answers <- sapply(seq_len(STUDIES), function(s) {
  d <- sets[sets$study == s, ]
  y <- as.matrix(d[5:(4 + R)]); means <- rowMeans(y)
  seen <- ifelse(d$gone == 1, NA, d$w)
  long <- data.frame(g = rep(seq_len(J), R), y = as.vector(y), v = rep(d$v, R), w = rep(seen, R))
  pred <- matrix(0, 4, 4, dimnames = list(names(long), names(long))); pred["w", ] <- c(-2, 1, 1, 0)
  imp <- mice(long, method = c("", "", "", "2lonly.norm"), predictorMatrix = pred, m = M, maxit = 1, seed = s,
              printFlag = FALSE)
  Q <- sapply(complete(imp, "all"), function(k) coefficient(means, d$v, k$w[seq_len(J)]))
  whole <- summary(lm(means ~ v + w, d))$coefficients["w", ]
  c(mean(Q), var(Q), whole[1:2])
})
write_json(list(m = M, truth = 0.4, estimate = answers[1, ], between = answers[2, ], whole = answers[3, ],
                whole_std_error = answers[4, ]), "expected.json", digits = 8, auto_unbox = TRUE, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
